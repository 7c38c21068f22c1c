// The CNI verbs (CNI spec 1.1, section 2, "CNI operations"). Each throws Error, and has then changed
// nothing.
#pragma once

#include <iosfwd>

#include "cni/request.hpp"
#include "error/error.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/verbs/node.hpp"

namespace ipmasq::plugin {

/// Records the attachment, brings the rules to the wanted state, prints prevResult. `warnings` is told what
/// is wrong beside, a line each: files that are wrong and so not in force, other networks that could not be
/// settled.
void add(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& output,
         std::ostream& warnings);

/// Forgets the attachment, and takes the rules of its pod subnets along where no other attachment needs them.
void del(const cni::Request& request, netfilter::Kernel& kernel);

/// The same of an attachment that no DEL came for, under the exclusive lock.
void forget_attachment(const Node& node, const std::string& network, const cni::AttachmentId& id);

/// Throws Error{not_right} unless the attachment is recorded and every rule that its packets meet is right
/// and in order.
void check(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings);

/// Forgets the network's attachments that the runtime does not list, and what no attachment needs. Goes on
/// after an error; what it throws names all of them.
void gc(const cni::Request& request, netfilter::Kernel& kernel);

/// Throws Error, cannot_add or cut_off, where an ADD could not work now. Where it could, `warnings` is told
/// what is wrong all the same. Changes nothing.
void status(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings);

}  // namespace ipmasq::plugin
