#include "state/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::state {

namespace {

constexpr mode_t owner_only = 0700;
constexpr auto record_file = "network.json";
constexpr char separator = ':';

template <typename Item>
cni::Json texts_of(const std::vector<Item>& items) {
  auto texts = cni::Json::array();
  for (const auto& item : items) texts.push_back(net::to_text(item));
  return texts;
}

cni::Json to_json(const Attachment& attachment) {
  cni::Json json{{"containerID", attachment.id.container_id},
                 {"ifname", attachment.id.interface},
                 {"addresses", texts_of(attachment.addresses)},
                 {"podSubnets", texts_of(attachment.pod_subnets)}};
  if (!attachment.pod.empty()) json["pod"] = attachment.pod;
  return json;
}

std::vector<net::InterfaceAddress> addresses_at(const cni::Json& json, const char* key) {
  std::vector<net::InterfaceAddress> addresses;
  for (const auto& text : json.at(key)) {
    const auto parsed = net::parse_interface_address(text.get<std::string>());
    if (!parsed) throw Error(Kind::wrong_text, std::string(key) + " holds " + cni::excerpt(text));
    addresses.push_back(*parsed);
  }
  return addresses;
}

// Throws Error or Json::exception for a file that holds no attachment of that name.
Attachment parse_attachment(const std::string& text, const std::string& file_name) {
  const auto json = cni::Json::parse(text);
  Attachment attachment;
  attachment.id = {json.at("containerID").get<std::string>(), json.at("ifname").get<std::string>()};
  attachment.addresses = addresses_at(json, "addresses");
  for (const auto& subnet : addresses_at(json, "podSubnets"))
    attachment.pod_subnets.push_back(subnet.network());
  attachment.pod = json.value("pod", "");
  if (attachment.id.container_id + separator + attachment.id.interface != file_name) {
    throw Error(Kind::wrong_text, "it is the record of another attachment");
  }
  return attachment;
}

std::optional<NetworkRecord> read_record(const std::filesystem::path& path) {
  const auto text = os::read_file(path);
  if (!text) return std::nullopt;
  try {
    const auto json = cni::Json::parse(*text);
    NetworkRecord record{.netconf = json.at("netconf"), .backend = json.at("backend").get<std::string>()};
    record.leaving = json.value("leaving", "");
    return record.netconf.is_object() ? std::optional(std::move(record)) : std::nullopt;
  } catch (const cni::Json::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw Error(Kind::failed, "cannot read the folder " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

const Attachment* Network::find(const cni::AttachmentId& id) const {
  const auto found = std::ranges::find(attachments, id, &Attachment::id);
  return found == attachments.end() ? nullptr : &*found;
}

bool Network::is_used(const net::Prefix& subnet, const cni::AttachmentId& except) const {
  return std::ranges::any_of(attachments, [&](const Attachment& attachment) {
    return attachment.id != except &&
           std::ranges::find(attachment.pod_subnets, subnet) != attachment.pod_subnets.end();
  });
}

bool Network::remove(const cni::AttachmentId& id) {
  const auto whole = std::erase_if(attachments, [&id](const Attachment& each) { return each.id == id; });
  const auto damaged = std::erase_if(broken, [&id](const BrokenAttachment& each) { return each.id == id; });
  return whole + damaged > 0;
}

bool Store::exists() const {
  std::error_code error;
  return std::filesystem::exists(folder_, error);
}

os::FileLock Store::lock_shared(std::chrono::nanoseconds timeout) const {
  os::make_folder(folder_, owner_only);
  return {folder_ / "lock", os::LockKind::shared, timeout};
}

os::FileLock Store::lock_exclusive(std::chrono::nanoseconds timeout) const {
  os::make_folder(folder_, owner_only);
  return {folder_ / "lock", os::LockKind::exclusive, timeout};
}

std::map<std::string, Network> Store::load() const {
  std::map<std::string, Network> networks;
  for (const auto& name : names_in(folder_)) {
    if (cni::is_cni_name(name) && is_network_name(name)) networks.emplace(name, load(name));
  }
  return networks;
}

Network Store::load(const std::string& network) const {
  Network loaded{.name = network};
  for (const auto& name : names_in(network_folder(network))) {
    const auto path = network_folder(network) / name;
    if (name.starts_with('.')) continue;
    if (name == record_file) {
      loaded.record = read_record(path);
      continue;
    }
    try {
      const auto text = os::read_file(path);
      if (text) loaded.attachments.push_back(parse_attachment(*text, name));
    } catch (const std::exception& error) {
      const auto colon = std::min(name.find(separator), name.size());
      const cni::AttachmentId id{name.substr(0, colon), name.substr(std::min(colon + 1, name.size()))};
      loaded.broken.push_back({id, path, error.what()});
    }
  }
  return loaded;
}

std::filesystem::path Store::attachment_file(const std::string& network, const cni::AttachmentId& id) const {
  return network_folder(network) / (id.container_id + separator + id.interface);
}

void Store::save(const std::string& network, const Attachment& attachment) const {
  os::make_folder(network_folder(network), owner_only);
  os::replace_file(attachment_file(network, attachment.id), cni::to_text(to_json(attachment)) + "\n");
}

void Store::save(const std::string& network, const NetworkRecord& record) const {
  cni::Json json{{"netconf", record.netconf}, {"backend", record.backend}};
  if (!record.leaving.empty()) json["leaving"] = record.leaving;
  os::make_folder(network_folder(network), owner_only);
  os::replace_file(network_folder(network) / record_file, cni::to_text(json) + "\n");
}

void Store::forget(const std::string& network, const cni::AttachmentId& id) const {
  os::remove_file(attachment_file(network, id));
}

void Store::forget_network(const std::string& network) const {
  for (const auto& name : names_in(network_folder(network))) {
    if (name.starts_with('.') || name == record_file) os::remove_file(network_folder(network) / name);
  }
  const bool is_gone = ::rmdir(network_folder(network).c_str()) == 0 || errno == ENOENT || errno == ENOTDIR;
  if (!is_gone && errno != ENOTEMPTY) {
    throw_errno("cannot remove the folder " + network_folder(network).string());
  }
}

void Store::check_writable() const {
  const auto probe = folder_ / ".status";
  os::replace_file(probe, "ip-masq looks whether it can write here\n");
  os::remove_file(probe);
}

}  // namespace ipmasq::state
