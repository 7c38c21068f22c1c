// What is recorded of a node's networks and attachments: one small JSON file each, under stateDir/NETWORK/.
//
//   stateDir/lock                       held by every call, see lock_shared and lock_exclusive
//   stateDir/cbr0/network.json          the netconf of the network's last ADD, and its back end
//   stateDir/cbr0/CONTAINER:INTERFACE   an attachment
//
// Neither container IDs nor interface names hold a ':'. Files whose name begins with '.' are those of a write
// under way, or cut short.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cni/json.hpp"
#include "cni/request.hpp"
#include "net/address.hpp"
#include "os/file_lock.hpp"

namespace ipmasq::state {

struct Attachment {
  cni::AttachmentId id;
  std::vector<net::InterfaceAddress> addresses;  ///< of prevResult, in its order
  std::vector<net::Prefix> pod_subnets;
  std::string pod = {};  ///< "namespace/name", empty where the runtime did not say

  bool operator==(const Attachment&) const = default;
};

/// The file of an attachment that cannot be read: a pod of unknown subnet.
struct BrokenAttachment {
  cni::AttachmentId id;  ///< by the file's name
  std::filesystem::path path;
  std::string reason;

  bool operator==(const BrokenAttachment&) const = default;
};

/// What is recorded of a network beside its attachments.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann::json declares its move noexcept
struct NetworkRecord {
  cni::Json netconf;         ///< of its last ADD
  std::string backend = {};  ///< that carries its rules
  std::string leaving = {};  ///< that may have rules of it as well, until they have moved; mostly empty

  bool operator==(const NetworkRecord&) const = default;
};

struct Network {
  std::string name;
  std::optional<NetworkRecord> record = {};  ///< none where the file is missing or broken
  std::vector<Attachment> attachments = {};  ///< by file name
  std::vector<BrokenAttachment> broken = {};
  bool lacks_attachments = false;  ///< never of load(): for who knows of one that is not recorded

  bool is_empty() const { return attachments.empty() && broken.empty(); }
  const Attachment* find(const cni::AttachmentId& id) const;
  /// Whether an attachment other than `id` stands in `subnet`.
  bool is_used(const net::Prefix& subnet, const cni::AttachmentId& except) const;
  /// Whether there was one, broken or not.
  bool remove(const cni::AttachmentId& id);
};

/// All calls throw Error{failed} where the file system fails them. Names of networks, container IDs
/// and interfaces must be checked (cni::is_cni_name, cni::is_interface_name): they become paths.
class Store {
 public:
  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Whether anything was ever recorded here.
  bool exists() const;

  /// Locks among ip-masq's calls; both make the folder. Throws Error{busy} after `timeout`.
  os::FileLock lock_shared(std::chrono::nanoseconds timeout) const;
  os::FileLock lock_exclusive(std::chrono::nanoseconds timeout) const;

  /// Every network, by name. Needs a lock.
  std::map<std::string, Network> load() const;
  /// One, empty where it is not recorded. Needs a lock.
  Network load(const std::string& network) const;

  /// Under the shared lock only where no other call can save the same attachment.
  void save(const std::string& network, const Attachment& attachment) const;
  /// These need the exclusive lock. What is not there is no error.
  void save(const std::string& network, const NetworkRecord& record) const;
  void forget(const std::string& network, const cni::AttachmentId& id) const;
  /// Also takes along what writes that were cut short left behind. The network must have no attachments.
  void forget_network(const std::string& network) const;

  /// Writes a file and removes it again.
  void check_writable() const;

  /// Whether a network may have this name here: "lock" is taken.
  static bool is_network_name(const std::string& name) { return name != "lock"; }

 private:
  std::filesystem::path network_folder(const std::string& network) const { return folder_ / network; }
  std::filesystem::path attachment_file(const std::string& network, const cni::AttachmentId& id) const;

  std::filesystem::path folder_;
};

}  // namespace ipmasq::state
