#include "state/load_network.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cni/json.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "state/layout.hpp"

namespace ipmasq::state {

namespace {

namespace fs = std::filesystem;

// Of what a file says; anything else is of the reading.
bool is_damage(const Error& error) {
  return error.kind() == Kind::wrong_text || error.kind() == Kind::wrong_config;
}

// nullopt where there is nothing.
std::optional<std::pair<dev_t, ino_t>> identity_of(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) == 0) return std::pair(status.st_dev, status.st_ino);
  if (errno != ENOENT && errno != ENOTDIR) throw_errno("cannot look at " + folder.string());
  return std::nullopt;
}

// Fills in what the files and markers of one network say.
class Loader {
 public:
  Loader(fs::path folder, std::string name) : folder_(std::move(folder)) { network_.name = std::move(name); }

  Network load() {
    for (const auto& name : names_in(folder_)) read_entry(name);
    for (const auto& name : names_in(folder_ / pods_folder)) read_attachment(folder_ / pods_folder, name);
    for (const auto* const kind : {subnets_folder, hosts_folder}) {
      for (const auto& name : names_in(folder_ / kind)) read_markers(folder_ / kind / name);
    }
    for (const auto& attachment : network_.attachments) {
      network_.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
    }
    network_.lacks_markers = std::ranges::any_of(network_.attachments, [this](const Attachment& each) {
      return std::ranges::any_of(each.pod_subnets, [&](const net::Prefix& subnet) {
        return !markers_.contains({subnet, each.id});
      });
    });
    for (const auto& id : network_.damaged_ids)
      network_.is_complete = network_.is_complete && marked_.contains(id);
    return std::move(network_);
  }

 private:
  void read_entry(const std::string& name) {
    if (name == record_file) return read_record(folder_ / name);
    if (name == pods_folder || name == subnets_folder || name == hosts_folder || name.starts_with('.'))
      return;
    read_attachment(folder_, name);
  }

  void read_record(const fs::path& path) {
    try {
      if (const auto text = os::read_file(path)) network_.record = parse_network_record(*text);
    } catch (const Error& error) {
      if (is_damage(error))
        network_.damaged.insert(network_.damaged.begin(),
                                {path, error.what(), error.kind() == Kind::wrong_config});
      else
        network_.unread.emplace_back(error.what());
    }
  }

  void read_attachment(const fs::path& folder, const std::string& name) {
    if (name.starts_with('.')) return;
    const auto id = parse_file_name(name);
    if (!id) return network_.strays.push_back(folder / name);
    try {
      if (const auto text = os::read_file(folder / name))
        network_.attachments.push_back(parse_attachment(*text, *id));
    } catch (const Error& error) {
      if (is_damage(error))
        network_.damaged.push_back({folder / name, error.what()});
      else
        network_.unread.emplace_back(error.what());
      network_.damaged_ids.push_back(*id);
    } catch (const cni::Json::exception& error) {
      network_.damaged.push_back({folder / name, error.what()});
      network_.damaged_ids.push_back(*id);
    }
  }

  // A marker without a file is of a pod whose record was lost; one that its file does not name went astray.
  void read_markers(const fs::path& folder) {
    const auto subnet = parse_marker_name(folder.filename().string());
    if (!subnet) return network_.strays.push_back(folder);
    for (const auto& name : names_in(folder)) {
      const auto id = parse_file_name(name);
      if (!id) continue;
      markers_.insert({*subnet, *id});
      if (network_.find(*id) != nullptr) continue;
      network_.pod_subnets.insert(*subnet);
      marked_.insert(*id);
      if (std::ranges::find(network_.damaged_ids, *id) != network_.damaged_ids.end()) continue;
      network_.damaged.push_back(
          {folder_ / pods_folder / name, "it is gone, though a pod subnet was marked for it"});
      network_.damaged_ids.push_back(*id);
    }
  }

  fs::path folder_;
  Network network_;
  std::set<cni::AttachmentId> marked_;
  std::set<std::pair<net::Prefix, cni::AttachmentId>> markers_;
};

}  // namespace

const Attachment* Network::find(const cni::AttachmentId& id) const {
  const auto found = std::ranges::find(attachments, id, &Attachment::id);
  return found == attachments.end() ? nullptr : &*found;
}

std::set<net::Prefix> Network::wanted_subnets() const {
  auto subnets = pod_subnets;
  if (record) subnets.insert(record->unrecorded.begin(), record->unrecorded.end());
  return subnets;
}

std::optional<Network> load_network(const fs::path& folder, const std::string& name) {
  for (;;) {
    const auto before = identity_of(folder);
    if (!before) return std::nullopt;
    auto network = Loader(folder, name).load();
    if (identity_of(folder) == before) return network;
  }
}

}  // namespace ipmasq::state
