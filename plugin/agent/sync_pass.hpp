// One pass over everything that is recorded: what `sync` does once and `agent` again and again.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

struct SyncPass {
  std::vector<std::string> changes;       ///< of the kernel, a line each
  std::set<std::string> warnings;         ///< what of configuration files is left alone
  std::vector<std::string> problems;      ///< what is not as it should be, or stays as it was, a line each
  std::set<std::filesystem::path> files;  ///< that the networks' configuration comes from
  std::chrono::nanoseconds resync_interval{
      std::chrono::seconds(60)};  ///< the shortest that a network asks for
  bool uses_iptables = false;
  std::map<std::string, std::size_t> attachments;  ///< how many, by network
};

/// Brings the kernel to what is wanted. Makes no state folder. Throws Error where nothing could be done.
SyncPass sync_pass(const state::Store& store, netfilter::Kernel& kernel,
                   std::chrono::nanoseconds lock_timeout);

}  // namespace ipmasq::plugin
