// What is recorded of a node's networks and attachments: small files under stateDir/NETWORK/.
//
//   stateDir/lock                                      held by every call, see lock_shared and lock_exclusive
//   stateDir/cbr0/network.json                         a NetworkRecord
//   stateDir/cbr0/pods/CONTAINER:INTERFACE             an Attachment
//   stateDir/cbr0/subnets/10.244.1.0_24/CONTAINER:INTERFACE    empty: the attachment stands in that pod
//   subnet stateDir/cbr0/hosts/10.1.2.3_32/CONTAINER:INTERFACE        the same for a pod subnet that is a
//   single address
//
// The markers tell which pod subnets are in use without reading what there is of pods. Version 0.1.0 had
// attachments beside network.json, and no markers. Files whose name begins with '.' are those of a write
// under way, or cut short.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "os/file_lock.hpp"
#include "state/load_network.hpp"
#include "state/records.hpp"

namespace ipmasq::state {

/// All calls throw Error{failed} where the file system fails them, and where the state folder is none to be
/// believed: a link, or one that somebody else owns or can write to. Names of networks, container IDs and
/// interfaces must be checked (cni::is_cni_name, cni::is_interface_name): they become paths.
class Store {
 public:
  using Question = std::function<bool(const cni::AttachmentId&)>;

  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }

  /// Whether anything was ever recorded here: not in a folder of somebody else's, who keeps other things in
  /// it.
  bool exists() const;

  /// Locks among ip-masq's calls; all make the folder. Throws Error{busy} after `timeout`, and
  /// Error{failed} for a folder of somebody else's, in which nothing is made.
  os::FileLock lock_shared(std::chrono::nanoseconds timeout) const;
  os::FileLock lock_exclusive(std::chrono::nanoseconds timeout) const;
  /// Beside those, held by the one agent. Throws Error{busy} where another one runs.
  os::FileLock lock_agent() const;

  /// Where a network's record is, or may come to be: in each folder that is here, whatever is in it. Not
  /// checked whether the state folder is to be believed.
  std::set<std::filesystem::path> record_files() const;
  /// Networks that something is recorded of, by name.
  std::vector<std::string> networks() const;

  /// nullopt where there is none. Throws Error: wrong_text where it is damaged, wrong_config where a later
  /// version wrote it.
  std::optional<NetworkRecord> record(const std::string& network) const;
  /// The same, and nullopt where it is damaged: for calls that make it anew, or do without.
  std::optional<NetworkRecord> undamaged_record(const std::string& network) const;
  /// The bytes of a record, whatever they are; nullopt where there is none, or one too large to be ours.
  std::optional<std::string> record_text(const std::string& network) const;
  /// nullopt where there is none, or a damaged one.
  std::optional<Attachment> attachment(const std::string& network, const cni::AttachmentId& id) const;
  /// Whether there is a file of that name, damaged or not.
  bool has_attachment(const std::string& network, const cni::AttachmentId& id) const;

  /// By the markers, whose number of subnets is small, however many pods there are: those in use that are no
  /// single addresses, or those that are.
  std::set<net::Prefix> subnets(const std::string& network) const;
  std::set<net::Prefix> hosts(const std::string& network) const;
  /// Whether `counts` is true of any attachment that stands in the pod subnet, or of any at all; asks it of
  /// no more after that.
  bool is_used(const std::string& network, const net::Prefix& subnet, const Question& counts) const;
  bool has_pod(const std::string& network, const Question& counts) const;
  bool has_pods(const std::string& network) const;
  /// Whether any single address in use is none of `known`.
  bool has_host_beside(const std::string& network, const std::set<net::Prefix>& known) const;
  /// The pod subnets that are marked for an attachment, whatever its file says. Asks for a marker in each pod
  /// subnet and single address that is in use.
  std::set<net::Prefix> marked(const std::string& network, const cni::AttachmentId& id) const;
  /// The same by its file, at no more cost than it has pod subnets; where that cannot be read, by the
  /// markers.
  std::set<net::Prefix> subnets_of(const std::string& network, const cni::AttachmentId& id) const;

  /// Reads every record.
  Network load(const std::string& network) const;
  std::map<std::string, Network> load() const;

  /// Saving throws Error{wrong_config}, before anything is written, for what would be too large to be read
  /// again. Under the shared lock only where no other call can save the same attachment.
  void save(const std::string& network, const Attachment& attachment) const;
  /// These need the exclusive lock. What is not there is no error.
  void save(const std::string& network, const NetworkRecord& record) const;
  void save_record_text(const std::string& network, const std::string& text) const;
  void forget_record(const std::string& network) const;
  void forget(const std::string& network, const cni::AttachmentId& id) const;
  /// Marks pod subnets for an attachment whose file does not tell them.
  void mark(const std::string& network, const cni::AttachmentId& id,
            const std::set<net::Prefix>& subnets) const;
  /// Makes the markers that are missing of attachments whose files tell their pod subnets. Reads every file.
  void restore_markers(const std::string& network) const;
  /// The network must have no attachments. Also takes along what writes that were cut short left behind; what
  /// somebody else put there stays.
  void forget_network(const std::string& network) const;
  /// Brings what version 0.1.0 recorded into this version's places, and takes along what writes that were cut
  /// short left behind.
  void put_in_order(const std::string& network) const;

  /// Throws Error{failed} where nothing can be written here, or where the folder would be made, or where it
  /// is somebody else's. Leaves nothing.
  void check_writable() const;

  /// Whether a network may have this name here: "lock" is taken.
  static bool is_network_name(const std::string& name) { return name != "lock"; }

 private:
  std::filesystem::path network_folder(const std::string& network) const { return folder_ / network; }
  std::filesystem::path record_path(const std::string& network) const;
  std::filesystem::path attachment_file(const std::string& network, const cni::AttachmentId& id) const;
  std::filesystem::path marker_folder(const std::string& network, const net::Prefix& subnet) const;
  void refuse_foreign() const;
  void make() const;
  /// A name in the folder, where nothing there is ours.
  std::optional<std::string> foreign_name() const;
  os::FileLock lock(os::LockKind kind, std::chrono::nanoseconds timeout) const;

  std::filesystem::path folder_;
};

}  // namespace ipmasq::state
