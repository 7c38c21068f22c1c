// The record of a pod, from what its runtime tells of it.
#pragma once

#include <set>
#include <string>

#include "cni/json.hpp"
#include "state/records.hpp"

namespace ipmasq::config {
struct Netconf;
}

namespace ipmasq::plugin {

/// What a runtime tells of a pod beside its addresses.
struct PodTold {
  std::string args;                  ///< as in CNI_ARGS
  cni::Json capabilities = nullptr;  ///< as in runtimeConfig; null for none
};

/// `result`: of the plugin before, or of the whole chain. Asks the kernel for the way
/// to the pod; where `known`, the pod subnets that the network has already, hold it, less of a bridge's
/// ports: to ask these costs the more the more pods are there. Throws Error.
state::Attachment attachment_of(cni::AttachmentId id, const PodTold& told, const cni::Json& result,
                                const config::Netconf& netconf, const std::set<net::Prefix>& known);

/// The networks of a pod that has rules by its own address alone: a LAN, whose other hosts are no pods.
std::set<net::Prefix> lans_of(const state::Attachment& attachment);

}  // namespace ipmasq::plugin
