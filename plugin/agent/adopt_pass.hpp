// Adopts all pods of this node that are ours to carry and are not recorded.
#pragma once

#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// What of a network is not recorded.
struct UnadoptedNetwork {
  std::string name;
  std::vector<state::Attachment> attachments = {};
  std::set<net::Prefix> without_pods = {};  ///< flannel's own subnets, where nothing tells of pods
};

struct AdoptPass {
  std::vector<UnadoptedNetwork> networks = {};  ///< that were adopted, or are to be
  std::vector<std::string> changes = {};        ///< of the kernel, a line each
  std::vector<std::string> warnings = {};       ///< pods that nobody can tell of, a line each
  std::vector<std::string> not_seen = {};       ///< pods that may live where this process does not see it
  std::vector<std::string> problems = {};       ///< what could not be done, a line each
  std::vector<std::string> unread_lists =
      {};                                     ///< that may have our entry, and could not be read, a line each
  std::vector<std::string> passed_over = {};  ///< lists that no runtime loads as they are, a line each
  std::vector<std::string> elsewhere = {};    ///< networks of another stateDir, a line each
  bool is_told = false;                       ///< a runtime tells of the pods that it made
  bool is_all_seen = false;                   ///< of each pod that it tells of it is seen whether it lives
};

/// Records every attachment of libcni's cache that lives and whose network has our entry, by the conflist of
/// its name in `conf_dir`, or, where none has that name, by the one that it was made of; and sets their
/// rules. Where there is no cache, flannel's own subnet, if the network is flannel's and nothing is recorded
/// of it. Forgets what was adopted and is gone. Networks of another stateDir are left. One network's trouble
/// is its own. Where there is nothing to do nothing is written. Throws Error where the store cannot be read
/// or locked.
AdoptPass adopt_pass(const state::Store& store, netfilter::Kernel& kernel,
                     const std::filesystem::path& conf_dir, std::chrono::nanoseconds lock_timeout);

/// What adopt_pass would adopt. `to_come`: lists that will stand in conf_dir instead of those of their names.
/// Changes nothing.
AdoptPass look_for_unadopted(const state::Store& store, const std::filesystem::path& conf_dir,
                             const std::vector<conflist::Network>& to_come = {});

/// "NETWORK: NAMESPACE/POD 10.244.1.7/24 (CONTAINER eth0)", a line each.
std::vector<std::string> texts_of(const UnadoptedNetwork& network);

}  // namespace ipmasq::plugin
