// Pods that live and are not recorded: they were there before us, or their record was lost.
#pragma once

#include <string>
#include <vector>

#include "cni/cache.hpp"
#include "plugin/verbs/plan.hpp"
#include "state/store.hpp"

namespace ipmasq::config {
struct Netconf;
}

namespace ipmasq::plugin {

/// Of one network.
struct Unadopted {
  std::vector<state::Attachment> attachments = {};  ///< as they are to be recorded
  std::vector<std::string> problems = {};           ///< pods that cannot be, or not told, a line each
  bool is_all = false;                              ///< the cache tells of every pod that lives
  std::set<net::Prefix> shared_subnets = {};        ///< of other networks, and LANs, that they stand in
};

/// What of `cache` is in the network and has no record. `others`: the pod subnets of other networks. Throws
/// Error where the store cannot be read.
Unadopted find_unadopted(const state::Store& store, const std::string& network,
                         const config::Netconf& netconf, const cni::Cache& cache,
                         const std::set<net::Prefix>& others);

/// Whether it was adopted, and its network namespace is gone since: no DEL may tell of that. False where
/// nobody can tell.
bool has_ended(const state::Attachment& attachment);

/// Plans them beside what is planned already.
void adopt(Unadopted unadopted, Plan& plan);

/// The same with whoever libcni's cache tells of beside `first`, whose ADD is the first of `plan`'s network:
/// others may have been there before, or their record may be lost. What went wrong, a line each. Throws Error
/// where the store or the kernel cannot be read.
std::vector<std::string> adopt_beside(const cni::AttachmentId& first, const Node& node, Plan& plan);

}  // namespace ipmasq::plugin
