// One pass over everything that is recorded: what `sync` does once and `agent` again and again.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/backend.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Why rules were not as they are wanted: the wish had changed, or somebody had changed them.
enum class Cause { configuration, drift };

/// Of the kernel, by one step of a pass.
struct KernelChanges {
  Cause cause = Cause::drift;
  std::string network;  ///< empty for what all have in common
  std::vector<std::string> lines;
};

/// How many there are, of a cause or of both.
std::size_t count(const std::vector<KernelChanges>& changes, std::optional<Cause> cause = std::nullopt);

/// "mended: network cbr0: ...", or "configured: ...": the first ones, and how many more there are.
std::vector<std::string> first_texts(const std::vector<KernelChanges>& changes);

struct SyncPass {
  std::vector<KernelChanges> changes;
  std::vector<std::string> followed;      ///< of connections that live, a line each network
  std::set<std::string> warnings;         ///< what of configuration files is left alone
  std::vector<std::string> problems;      ///< what is not as it should be, or stays as it was, a line each
  std::set<std::filesystem::path> files;  ///< that the networks' configuration comes from
  std::optional<std::chrono::nanoseconds> resync_interval;  ///< the shortest that a network asks for
  /// By the back ends that networks are recorded on: what is wanted there.
  std::map<config::Backend, nat::Ruleset> wanted;
  std::map<std::string, std::size_t> attachments;                      ///< how many, by network
  std::map<std::string, std::map<std::string, std::size_t>> policies;  ///< attachments, by network and policy
  std::map<std::string, bool> has_wrong_config;                        ///< by network
  std::vector<nat::Source> left_alone;  ///< rules that stand, and that nothing is recorded of: pods may live
  bool is_right = true;  ///< all that is wanted of the kernel stands there, as far as it is known
};

/// Brings the kernel to what is wanted. Makes no state folder. Throws Error where nothing could be done.
SyncPass sync_pass(const state::Store& store, netfilter::Kernel& kernel,
                   std::chrono::nanoseconds lock_timeout);

}  // namespace ipmasq::plugin
