// All that the files and markers of one network say.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cni/environment.hpp"
#include "net/address.hpp"
#include "state/records.hpp"

namespace ipmasq::state {

/// A file that ought to be a record and is none.
struct DamagedFile {
  std::filesystem::path path;
  std::string reason;
  bool is_of_later_version = false;  ///< not damaged, but of a format that this version does not know

  bool operator==(const DamagedFile&) const = default;
};

/// All that is recorded of a network.
struct Network {
  std::string name;
  std::optional<NetworkRecord> record = {};
  std::vector<Attachment> attachments = {};  ///< by file name
  std::vector<DamagedFile> damaged = {};     ///< network.json first
  std::vector<std::string> unread = {};      ///< why files could not be read, a line each: they may be whole
  std::vector<cni::AttachmentId> damaged_ids =
      {};                                  ///< of the attachments among both, or of a marker without a file
  std::set<net::Prefix> pod_subnets = {};  ///< of all attachments, also of damaged ones where markers tell
  bool is_complete = true;                 ///< false where an attachment's pod subnets are not known
  bool lacks_markers = false;              ///< that an attachment's file tells of
  std::vector<std::filesystem::path> strays = {};  ///< that ip-masq did not write

  const Attachment* find(const cni::AttachmentId& id) const;
  bool has_pods() const { return !attachments.empty() || !damaged_ids.empty(); }
  /// The pod subnets that need rules.
  std::set<net::Prefix> wanted_subnets() const;
};

/// Reads stateDir/NETWORK; nullopt where it is not there. Somebody may move it away, or put it back, without
/// our lock: it is then read anew, since half of it would be pods that are gone. Throws Error{failed} where a
/// folder cannot be read.
std::optional<Network> load_network(const std::filesystem::path& folder, const std::string& name);

}  // namespace ipmasq::state
