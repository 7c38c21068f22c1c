#include "cni/request.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "cni/version.hpp"
#include "error/error.hpp"

namespace ipmasq::cni {

namespace {

constexpr std::size_t largest_netconf = std::size_t{4} << 20U;
// The network's name is the name of a folder (255 bytes at most) and stands in rule comments (255 bytes at
// most).
constexpr std::size_t longest_network_name = 200;

std::string read_all(std::istream& input) {
  std::string text;
  std::array<char, 16384>
      block;  // NOLINT(cppcoreguidelines-pro-type-member-init): read before it is looked at
  do {
    input.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(input.gcount()));
    if (text.size() > largest_netconf) {
      throw Error(Kind::wrong_text, "the network configuration on stdin is larger than 4 MiB");
    }
  } while (input);
  if (input.bad()) throw_errno("cannot read the network configuration from stdin");
  return text;
}

std::string string_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string_view oldest_version_with(Command command) {
  switch (command) {
    case Command::gc:
    case Command::status:
      return "1.1.0";
    case Command::check:
      return "0.4.0";
    default:
      return supported_versions.front();
  }
}

std::string join_versions() {
  std::string text;
  for (const auto version : supported_versions) text += (text.empty() ? "" : ", ") + std::string(version);
  return text;
}

std::string checked_version(const Json& netconf, Command command) {
  const auto found = netconf.find("cniVersion");
  auto version = string_at(netconf, "cniVersion");
  if (command == Command::del) return answer_version(netconf);
  if (!is_supported(version)) {
    const auto value = found == netconf.end() ? "missing" : excerpt(*found);
    throw Error(Kind::wrong_version, "cniVersion is " + value + ": expected one of " + join_versions());
  }
  if (const auto oldest = oldest_version_with(command); is_older(version, oldest)) {
    throw Error(Kind::wrong_version,
                "cniVersion is \"" + version + "\": this command needs " + std::string(oldest) + " or later");
  }
  return version;
}

std::string checked_name(const Json& netconf) {
  const auto found = netconf.find("name");
  auto name = string_at(netconf, "name");
  if (!is_network_name(name)) {
    const auto value = found == netconf.end() ? "missing" : excerpt(*found);
    throw Error(Kind::wrong_config, "name is " + value +
                                        ": expected a letter or digit, then letters, digits, '_', '.' or "
                                        "'-', at most " +
                                        std::to_string(longest_network_name) + " bytes");
  }
  return name;
}

AttachmentId parse_attachment_id(const std::string& key, const Json& value) {
  AttachmentId id;
  if (value.is_object()) id = {string_at(value, "containerID"), string_at(value, "ifname")};
  if (id.container_id.empty() || id.interface.empty()) {
    throw Error(Kind::wrong_config, key + " holds " + excerpt(value) +
                                        ": expected {\"containerID\": \"...\", \"ifname\": \"...\"}");
  }
  return id;
}

}  // namespace

bool is_network_name(std::string_view text) {
  return is_cni_name(text) && text.size() <= longest_network_name;
}

Json read_netconf(std::istream& input) {
  constexpr auto what = "the network configuration on stdin";
  auto netconf = parse_json(read_all(input), what);
  if (!netconf.is_object()) {
    throw Error(Kind::wrong_text, std::string(what) + " is " + excerpt(netconf) + ": expected a JSON object");
  }
  return netconf;
}

std::string answer_version(const Json& netconf) {
  auto version = string_at(netconf, "cniVersion");
  return is_supported(version) ? version : std::string(newest_version);
}

Request make_request(Environment environment, Json netconf) {
  Request request{.environment = std::move(environment), .netconf = std::move(netconf)};
  const auto command = request.environment.command;
  if (command == Command::version) {
    request.cni_version = string_at(request.netconf, "cniVersion");
    return request;
  }
  request.cni_version = checked_version(request.netconf, command);
  request.network = checked_name(request.netconf);
  return request;
}

std::vector<AttachmentId> valid_attachments(const Json& netconf) {
  std::set<AttachmentId> ids;
  bool is_said = false;
  for (const auto* const key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
    const auto found = netconf.find(key);
    if (found == netconf.end()) continue;
    is_said = true;
    if (found->is_null()) continue;
    if (!found->is_array())
      throw Error(Kind::wrong_config, std::string(key) + " is " + excerpt(*found) + ": expected an array");
    for (const auto& value : *found) ids.insert(parse_attachment_id(key, value));
  }
  if (!is_said) {
    throw Error(Kind::wrong_config,
                "neither cni.dev/valid-attachments nor cni.dev/attachments is there, so nothing says which "
                "attachments are valid: nothing was forgotten",
                "expected an array of {\"containerID\": \"...\", \"ifname\": \"...\"}, or null for none");
  }
  return {ids.begin(), ids.end()};
}

}  // namespace ipmasq::cni
