#include "state/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "cni/environment.hpp"
#include "cni/json.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "state/layout.hpp"
#include "state/load_network.hpp"

namespace ipmasq::state {

namespace {

namespace fs = std::filesystem;

constexpr mode_t owner_only = 0700;

// With those above it, up to `top`, nobody else's to read.
void make_folder(const fs::path& top, const fs::path& path) {
  if (path != top && !os::is_there(path.parent_path())) make_folder(top, path.parent_path());
  os::make_folder(path, owner_only);
}

// What is written must be readable.
void check_length(const std::string& text, const std::string& what) {
  if (text.size() <= os::largest_file) return;
  throw Error(Kind::wrong_config,
              "what is to be recorded of " + what + " has " + std::to_string(text.size()) +
                  " bytes: expected at most " + std::to_string(os::largest_file),
              "write shorter lists");
}

// /run/lock and /var/lock are folders of the system's.
bool is_file(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return S_ISREG(status.st_mode);
  if (errno != ENOENT) throw_errno("cannot look at " + path.string());
  return false;
}

void remove_folder(const fs::path& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) return;
  const int number = errno;
  if (!os::is_there(path)) return;
  errno = number;
  throw_errno("cannot remove the folder " + path.string());
}

void unmark(const fs::path& marker) {
  os::remove_file(marker);
  remove_folder(marker.parent_path());
  const auto kind = marker.parent_path().parent_path();
  if (kind.filename() == hosts_folder) remove_folder(kind);
}

void make_marker(const fs::path& top, const fs::path& path) {
  if (os::is_there(path)) return;
  const auto make = [&path] {
    return os::FileDescriptor(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  };
  auto file = make();
  if (!file.is_open() && errno == ENOENT) {
    make_folder(top, path.parent_path());
    file = make();
  }
  if (!file.is_open()) throw_errno("cannot create " + path.string());
}

std::set<net::Prefix> marked_in(const fs::path& folder) {
  std::set<net::Prefix> subnets;
  for (const auto& name : names_in(folder)) {
    if (const auto subnet = parse_marker_name(name)) subnets.insert(*subnet);
  }
  return subnets;
}

bool any_in(const fs::path& folder, const Store::Question& counts) {
  return os::any_name(folder, [&counts](const std::string& name) {
    const auto id = parse_file_name(name);
    return id && counts(*id);
  });
}

}  // namespace

bool Store::exists() const {
  struct stat status {};
  if (::lstat(folder_.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw_errno("cannot look at " + folder_.string());
  }
  const auto refuse = [this](const char* why, const std::string& what_to_do) {
    throw Error(Kind::failed, "stateDir " + folder_.string() + " " + why,
                "nothing in it can be believed: " + what_to_do);
  };
  constexpr auto aside = "move it aside, or name another stateDir";
  if (S_ISLNK(status.st_mode)) refuse("is a link", aside);
  if (!S_ISDIR(status.st_mode)) refuse("is no folder", aside);
  if (status.st_uid != ::geteuid()) refuse("belongs to somebody else", aside);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refuse("can be written to by others",
           "look whether all in it is your own; then chmod go-w " + folder_.string());
  }
  return !foreign_name();
}

// Every call of any version makes the lock, or the agent its own, before anything else.
std::optional<std::string> Store::foreign_name() const {
  if (is_file(folder_ / lock_file) || is_file(folder_ / agent_lock_file)) return std::nullopt;
  auto names = names_in(folder_);
  // Of a file system of its own, and of who keeps it.
  std::erase_if(names, [](const std::string& name) { return name == "lost+found" || name.starts_with('.'); });
  const auto holds_ours = [this](const std::string& name) {
    return os::is_there(record_path(name)) || os::is_there(folder_ / name / pods_folder) ||
           os::is_there(folder_ / name / subnets_folder);
  };
  const auto is_empty = [this](const std::string& name) {  // where a call was killed that began a record
    std::error_code error;
    return fs::is_directory(folder_ / name, error) && fs::is_empty(folder_ / name, error);
  };
  const bool is_ours = std::ranges::any_of(names, holds_ours) || std::ranges::all_of(names, is_empty);
  if (is_ours) return std::nullopt;
  return std::move(names.front());
}

void Store::refuse_foreign() const {
  const auto name = foreign_name();
  if (!name) return;
  throw Error(Kind::failed,
              "stateDir " + folder_.string() + " is not ip-masq's: it holds " + cni::excerpt(*name) +
                  ", and nothing of ours",
              "nothing was written there: name a folder that is empty, or not there yet");
}

void Store::make() const {
  if (exists()) return;
  os::make_folder(folder_, owner_only);
  if (!exists()) refuse_foreign();
}

os::FileLock Store::lock(os::LockKind kind, std::chrono::nanoseconds timeout) const {
  make();
  return {folder_ / lock_file, kind, timeout};
}

os::FileLock Store::lock_agent() const {
  make();
  return {folder_ / agent_lock_file, os::LockKind::exclusive, std::chrono::nanoseconds(0)};
}

os::FileLock Store::lock_shared(std::chrono::nanoseconds timeout) const {
  return lock(os::LockKind::shared, timeout);
}

os::FileLock Store::lock_exclusive(std::chrono::nanoseconds timeout) const {
  return lock(os::LockKind::exclusive, timeout);
}

std::set<fs::path> Store::record_files() const {
  std::set<fs::path> files;
  for (const auto& name : names_in(folder_)) {
    if (std::error_code error; fs::is_directory(folder_ / name, error)) files.insert(record_path(name));
  }
  return files;
}

std::vector<std::string> Store::networks() const {
  std::vector<std::string> names;
  if (!exists()) return names;
  for (auto& name : names_in(folder_)) {
    if (!cni::is_cni_name(name) || !is_network_name(name)) continue;
    const auto inside = names_in(network_folder(name));
    const bool is_ours = std::ranges::any_of(inside, [](const std::string& each) {
      return each == record_file || each == pods_folder || parse_file_name(each);
    });
    if (is_ours) names.push_back(std::move(name));
  }
  return names;
}

std::optional<std::string> Store::record_text(const std::string& network) const {
  try {
    return exists() ? os::read_file(record_path(network)) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() == Kind::wrong_text) return std::nullopt;
    throw;
  }
}

std::optional<NetworkRecord> Store::record(const std::string& network) const {
  const auto path = record_path(network);
  try {
    const auto text = exists() ? os::read_file(path) : std::nullopt;
    return text ? std::optional(parse_network_record(*text)) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() == Kind::failed) throw;
    const auto* const what = error.kind() == Kind::wrong_text ? " is damaged: " : ": ";
    throw Error(error.kind(), path.string() + what + error.what());
  }
}

std::optional<NetworkRecord> Store::undamaged_record(const std::string& network) const {
  try {
    return record(network);
  } catch (const Error& error) {
    if (error.kind() == Kind::wrong_text) return std::nullopt;
    throw;
  }
}

std::optional<Attachment> Store::attachment(const std::string& network, const cni::AttachmentId& id) const {
  for (const auto& path : {attachment_file(network, id), network_folder(network) / file_name(id)}) {
    try {
      if (const auto text = exists() ? os::read_file(path) : std::nullopt) return parse_attachment(*text, id);
    } catch (const Error& error) {
      if (error.kind() != Kind::wrong_text) throw;
      return std::nullopt;
    } catch (const cni::Json::exception&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

bool Store::has_attachment(const std::string& network, const cni::AttachmentId& id) const {
  return os::is_there(attachment_file(network, id));
}

std::set<net::Prefix> Store::subnets(const std::string& network) const {
  return marked_in(network_folder(network) / subnets_folder);
}

std::set<net::Prefix> Store::hosts(const std::string& network) const {
  return marked_in(network_folder(network) / hosts_folder);
}

bool Store::has_host_beside(const std::string& network, const std::set<net::Prefix>& known) const {
  return os::any_name(network_folder(network) / hosts_folder, [&known](const std::string& name) {
    const auto host = parse_marker_name(name);
    return host && !known.contains(*host);
  });
}

bool Store::is_used(const std::string& network, const net::Prefix& subnet, const Question& counts) const {
  return any_in(marker_folder(network, subnet), counts);
}

bool Store::has_pod(const std::string& network, const Question& counts) const {
  return any_in(network_folder(network) / pods_folder, counts);
}

bool Store::has_pods(const std::string& network) const {
  return std::ranges::any_of(
      std::array{pods_folder, subnets_folder, hosts_folder}, [&](const auto* const kind) {
        return os::any_name(network_folder(network) / kind,
                            [](const std::string& name) { return !name.starts_with(os::unfinished); });
      });
}

std::set<net::Prefix> Store::marked(const std::string& network, const cni::AttachmentId& id) const {
  auto found = subnets(network);
  found.merge(hosts(network));
  std::erase_if(
      found, [&](const auto& each) { return !os::is_there(marker_folder(network, each) / file_name(id)); });
  return found;
}

std::set<net::Prefix> Store::subnets_of(const std::string& network, const cni::AttachmentId& id) const {
  const auto attachment = this->attachment(network, id);
  if (!attachment) return marked(network, id);
  return {attachment->pod_subnets.begin(), attachment->pod_subnets.end()};
}

Network Store::load(const std::string& network) const {
  auto loaded = exists() ? load_network(network_folder(network), network) : std::nullopt;
  return loaded ? std::move(*loaded) : Network{.name = network};
}

std::map<std::string, Network> Store::load() const {
  std::map<std::string, Network> loaded;
  for (const auto& name : networks()) {
    if (auto network = load_network(network_folder(name), name)) loaded.emplace(name, std::move(*network));
  }
  return loaded;
}

fs::path Store::record_path(const std::string& network) const {
  return network_folder(network) / record_file;
}

fs::path Store::attachment_file(const std::string& network, const cni::AttachmentId& id) const {
  return network_folder(network) / pods_folder / file_name(id);
}

fs::path Store::marker_folder(const std::string& network, const net::Prefix& subnet) const {
  return network_folder(network) / (subnet.is_host() ? hosts_folder : subnets_folder) / marker_name(subnet);
}

// A marker too few is put right when the same call is made again; one too many would keep rules for ever.
// Hence those of an earlier attachment go first, and the new ones come last.
void Store::save(const std::string& network, const Attachment& attachment) const {
  const auto name = file_name(attachment.id);
  const auto text = to_text(attachment);
  check_length(text, "the attachment of " + attachment.id.container_id + " (" + attachment.id.interface +
                         ") to network " + network);
  const auto before = this->attachment(network, attachment.id);
  if (before) {
    for (const auto& subnet : before->pod_subnets) {
      if (std::ranges::find(attachment.pod_subnets, subnet) != attachment.pod_subnets.end()) continue;
      unmark(marker_folder(network, subnet) / name);
    }
  }
  const auto path = attachment_file(network, attachment.id);
  make_folder(folder_, path.parent_path());
  if (before != attachment || !has_attachment(network, attachment.id))
    os::put_file(path, text, network_folder(network));
  mark(network, attachment.id, {attachment.pod_subnets.begin(), attachment.pod_subnets.end()});
}

void Store::save(const std::string& network, const NetworkRecord& record) const {
  const auto text = to_text(record);
  check_length(text, "network " + network);
  save_record_text(network, text);
}

void Store::save_record_text(const std::string& network, const std::string& text) const {
  make_folder(folder_, network_folder(network));
  os::put_file(record_path(network), text, network_folder(network));
}

void Store::forget_record(const std::string& network) const {
  os::remove_file(record_path(network));
}

// The file goes last: a call that is killed before is repeated by the runtime, or by GC.
void Store::forget(const std::string& network, const cni::AttachmentId& id) const {
  for (const auto& subnet : subnets_of(network, id)) unmark(marker_folder(network, subnet) / file_name(id));
  os::remove_file(network_folder(network) / file_name(id));
  os::remove_file(attachment_file(network, id));
}

void Store::mark(const std::string& network, const cni::AttachmentId& id,
                 const std::set<net::Prefix>& subnets) const {
  for (const auto& subnet : subnets) make_marker(folder_, marker_folder(network, subnet) / file_name(id));
}

void Store::restore_markers(const std::string& network) const {
  for (const auto& each : load(network).attachments)
    mark(network, each.id, {each.pod_subnets.begin(), each.pod_subnets.end()});
}

void Store::forget_network(const std::string& network) const {
  const auto folder = network_folder(network);
  for (const auto& inside : {folder, folder / pods_folder}) {
    for (const auto& name : names_in(inside)) {
      if (name.starts_with(os::unfinished)) os::remove_file(inside / name);
    }
  }
  for (const auto* const kind : {subnets_folder, hosts_folder}) {
    for (const auto& name : names_in(folder / kind)) remove_folder(folder / kind / name);
    remove_folder(folder / kind);
  }
  remove_folder(folder / pods_folder);
  forget_record(network);
  remove_folder(folder);
}

void Store::put_in_order(const std::string& network) const {
  const auto folder = network_folder(network);
  for (const auto& name : names_in(folder)) {
    if (name.starts_with(os::unfinished)) os::remove_file(folder / name);
    const auto id = parse_file_name(name);
    if (!id || os::is_there(attachment_file(network, *id))) continue;
    const auto attachment = this->attachment(network, *id);
    if (!attachment) continue;
    save(network, *attachment);
    os::remove_file(folder / name);
  }
}

void Store::check_writable() const {
  auto nearest = folder_;
  while (!os::is_there(nearest) && nearest != nearest.root_path()) nearest = nearest.parent_path();
  os::check_writable(nearest);
  if (nearest == folder_) refuse_foreign();
}

}  // namespace ipmasq::state
