// The CNI verbs (CNI spec 1.1, section 2, "CNI operations"). Each throws Error, and has then changed
// nothing.
#pragma once

#include <iosfwd>

#include "cni/request.hpp"
#include "error/error.hpp"
#include "netfilter/kernel.hpp"

namespace ipmasq::plugin {

/// Records the attachment, brings the rules to the wanted state, prints prevResult.
void add(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& output);

/// Forgets the attachment, and takes the rules of its pod subnets along where no other attachment needs them.
void del(const cni::Request& request, netfilter::Kernel& kernel);

/// Throws Error{not_right} unless the attachment is recorded and every rule is right and in order.
void check(const cni::Request& request, netfilter::Kernel& kernel);

/// Forgets the network's attachments that the runtime does not list, and what no attachment needs. Goes on
/// after an error; what it throws names all of them.
void gc(const cni::Request& request, netfilter::Kernel& kernel);

/// Throws Error, not_available or limited_connectivity, where an ADD could not work now. Where it could,
/// but somebody else's rules would undo what it sets, `warnings` is told so.
void status(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings);

}  // namespace ipmasq::plugin
