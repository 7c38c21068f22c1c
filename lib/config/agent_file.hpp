// The configuration file of ip-masq-agent, which operators change while pods run.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::config {

struct AgentFile {
  std::filesystem::path path;
  cni::Json keys = cni::Json::object();            ///< those that it may hold, as a netconf would have them
  std::map<std::string, std::string> places = {};  ///< "FILE, line N" of each key, and of item_key of each
                                                   ///< list's items; of policy_key, keys in it behind
  std::vector<std::string> warnings = {};          ///< keys that it does not know
  /// What its writer meant otherwise: a key that is misspelt, a file whose name nobody reads, a link that
  /// leads nowhere, a list that lost its items.
  std::vector<std::string> slips = {};
  std::string node = {};      ///< whose sections of `nodes` are laid over; empty where there are none
  bool says_nothing = false;  ///< it is there, and has no key: a truncated one, or one with comments alone
};

/// "KEY ITEM", the item as text or as JSON: under which AgentFile::places has it.
std::string item_key(const std::string& key, const cni::Json& item);

/// "policies NAME", the same of a policy; a key of it, or an item of its list, stands behind it.
std::string policy_key(const std::string& name);

/// YAML, of which JSON is a part; nullopt where it says nothing (empty, or only comments). Keys are
/// taken as ip-masq-agent takes them: whatever their case, those of policies as well; unknown ones are left
/// alone, but for one that holds keys of ours. A key that stands twice is an error. The sections of `nodes`
/// whose match is the name of `node` are laid over the keys at the top, in their order; all are checked.
/// Throws Error{wrong_config} that names `path` and the line.
std::optional<AgentFile> parse_agent_file(std::string_view text, const std::filesystem::path& path,
                                          const std::string& node);

/// Why a file that says nothing is not what its writer meant, where it said something before.
std::string told_of_nothing(const std::filesystem::path& path);

/// The same of a file, on this node (os::node_name); nullopt where it does not exist. Of a folder: all
/// regular files in it whose name begins with "ip-masq" (64 and 4 MiB at most), as one: lists are united,
/// masqLinkLocal and masqLinkLocalIPv6 are true where one says so, of other keys the last file's stands. Each
/// is checked by itself first. A link that leads nowhere is a slip; of a file that says nothing
/// `says_nothing` alone. Throws Error; what is wrong with several files is told at once.
std::optional<AgentFile> read_agent_file(const std::filesystem::path& path);

}  // namespace ipmasq::config
