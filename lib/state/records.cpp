#include "state/records.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cni/environment.hpp"
#include "cni/json.hpp"
#include "error/error.hpp"

namespace ipmasq::state {

namespace {

using cni::Json;

// 1 had no number. An earlier version that overlooked what 3 has would give a pod the rules of another
// network, and what 4 has, those of no policy.
constexpr int newest_format = 4;

bool has_policies(const Json& keys) {
  const auto found = keys.find("policies");
  return found != keys.end() && !found->empty();
}

int format_of(const NetworkRecord& record) {
  const auto& [netconf, file, networks] = record.made_of;
  if (has_policies(netconf) || (file && has_policies(file->keys))) return newest_format;
  return record.shared_subnets.empty() ? 2 : 3;
}

constexpr char separator = ':';

template <typename Items>
Json texts_of(const Items& items) {
  auto texts = Json::array();
  for (const auto& item : items) texts.push_back(net::to_text(item));
  return texts;
}

std::vector<net::InterfaceAddress> addresses_at(const Json& json, const char* key) {
  std::vector<net::InterfaceAddress> addresses;
  for (const auto& text : json.value(key, Json::array())) {
    const auto parsed =
        text.is_string() ? net::parse_interface_address(text.get_ref<const std::string&>()) : std::nullopt;
    if (!parsed) throw Error(Kind::wrong_text, std::string(key) + " holds " + cni::excerpt(text));
    addresses.push_back(*parsed);
  }
  return addresses;
}

std::vector<net::Prefix> prefixes_at(const Json& json, const char* key) {
  std::vector<net::Prefix> prefixes;
  for (const auto& address : addresses_at(json, key)) prefixes.push_back(address.network());
  return prefixes;
}

std::optional<config::Backend> backend_at(const Json& json, const char* key) {
  const auto text = json.value(key, "");
  if (text.empty()) return std::nullopt;
  const auto backend = config::parse_backend(text);
  if (!backend) throw Error(Kind::wrong_text, std::string(key) + " is " + cni::excerpt(text));
  return backend;
}

std::optional<config::AgentFile> agent_file_in(const Json& json) {
  if (!json.contains("file")) return std::nullopt;
  const auto& file = json.at("file");
  config::AgentFile found;
  found.path = file.at("path").get<std::string>();
  found.keys = file.at("keys");
  return found;
}

config::MadeOf made_of_in(const Json& json) {
  return {json.at("netconf"), agent_file_in(json), prefixes_at(json, "clusterNetworks")};
}

void put(const config::MadeOf& made_of, Json& json) {
  json["netconf"] = made_of.netconf;
  if (made_of.file) json["file"] = {{"path", made_of.file->path.string()}, {"keys", made_of.file->keys}};
  json["clusterNetworks"] = texts_of(made_of.cluster_networks);
}

NetworkRecord record_in(const Json& json) {
  const auto named = json.value("format", Json(1));
  if (!named.is_number_integer() || named < 1)
    throw Error(Kind::wrong_text, "its format is " + cni::excerpt(named));
  const auto written = named.get<std::int64_t>();
  if (written > newest_format) {
    throw Error(Kind::wrong_config, "it has format " + std::to_string(written) +
                                        ", of a later ip-masq: this one knows " +
                                        std::to_string(newest_format));
  }
  const auto on = backend_at(json, "backend");
  if (!on || !json.at("netconf").is_object())
    throw Error(Kind::wrong_text, "it names no back end, or no netconf");
  NetworkRecord record{.made_of = made_of_in(json), .placement = {*on, backend_at(json, "leaving")}};
  for (const auto& prefix : prefixes_at(json, "unrecorded")) record.unrecorded.insert(prefix);
  for (const auto& prefix : prefixes_at(json, "sharedSubnets")) record.shared_subnets.insert(prefix);
  if (json.contains("changedFrom")) record.changed_from = made_of_in(json.at("changedFrom"));
  record.is_carried_over = written == 1;
  return record;
}

}  // namespace

bool Attachment::has(const net::Address& address) const {
  return std::ranges::find(addresses, address, &net::InterfaceAddress::address) != addresses.end();
}

std::set<net::Prefix> NetworkRecord::shared_by(const std::set<net::Prefix>& subnets) const {
  auto shared = shared_subnets;
  std::erase_if(shared, [&subnets](const auto& each) {
    return std::ranges::none_of(
        subnets, [&each](const auto& subnet) { return subnet != each && each.contains(subnet); });
  });
  return shared;
}

std::string to_text(const Attachment& attachment) {
  Json json{{"containerID", attachment.id.container_id},
            {"ifname", attachment.id.interface},
            {"addresses", texts_of(attachment.addresses)},
            {"podSubnets", texts_of(attachment.pod_subnets)}};
  if (!attachment.pod.empty()) json["pod"] = attachment.pod;
  if (attachment.bypasses_node) json["bypassesNode"] = true;
  if (!attachment.adopted_from.empty()) json["adoptedFrom"] = attachment.adopted_from;
  if (!attachment.policy.empty()) json["policy"] = attachment.policy;
  if (!attachment.asks_for.empty()) json["asksFor"] = attachment.asks_for;
  if (attachment.has_lost_address) json["hasLostAddress"] = true;
  return cni::to_text(json) + "\n";
}

std::string to_text(const NetworkRecord& record) {
  Json json{{"format", format_of(record)}};
  put(record.made_of, json);
  json["backend"] = config::to_text(record.placement.on);
  if (record.placement.leaving) json["leaving"] = config::to_text(*record.placement.leaving);
  if (!record.unrecorded.empty()) json["unrecorded"] = texts_of(record.unrecorded);
  if (!record.shared_subnets.empty()) json["sharedSubnets"] = texts_of(record.shared_subnets);
  if (record.changed_from) put(*record.changed_from, json["changedFrom"]);
  return cni::to_text(json) + "\n";
}

Attachment parse_attachment(std::string_view text, const cni::AttachmentId& id) {
  const auto json = cni::parse_json(text, "it");
  Attachment attachment{
      .id = {json.at("containerID").get<std::string>(), json.at("ifname").get<std::string>()},
      .addresses = addresses_at(json, "addresses"),
      .pod_subnets = prefixes_at(json, "podSubnets"),
      .pod = json.value("pod", ""),
      .bypasses_node = json.value("bypassesNode", false),
      .adopted_from = json.value("adoptedFrom", ""),
      .policy = json.value("policy", ""),
      .asks_for = json.value("asksFor", ""),
      .has_lost_address = json.value("hasLostAddress", false)};
  if (attachment.id != id) throw Error(Kind::wrong_text, "it is the record of another attachment");
  if (!json.contains("podSubnets")) throw Error(Kind::wrong_text, "it names no pod subnets");
  return attachment;
}

NetworkRecord parse_network_record(std::string_view text) {
  try {
    return record_in(cni::parse_json(text, "it"));
  } catch (const Json::exception&) {
    throw Error(Kind::wrong_text, "it is no record of a network");
  }
}

std::string file_name(const cni::AttachmentId& id) {
  return id.container_id + separator + id.interface;
}

std::optional<cni::AttachmentId> parse_file_name(const std::string& name) {
  const auto colon = name.find(separator);
  if (colon == std::string::npos) return std::nullopt;
  cni::AttachmentId id{name.substr(0, colon), name.substr(colon + 1)};
  const bool is_whole = cni::is_cni_name(id.container_id) && cni::is_interface_name(id.interface);
  return is_whole ? std::optional(std::move(id)) : std::nullopt;
}

}  // namespace ipmasq::state
