#include "cni/result.hpp"

#include <algorithm>
#include <cstdint>

#include "error/error.hpp"

namespace ipmasq::cni {

namespace {

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(Kind::wrong_config, problem);
}

net::InterfaceAddress parse_address(const Json& ip) {
  const auto address = ip.is_object() ? ip.find("address") : ip.end();
  const auto parsed = ip.is_object() && address != ip.end() && address->is_string()
                          ? net::parse_interface_address(address->get_ref<const std::string&>())
                          : std::nullopt;
  if (!parsed) refuse("prevResult.ips holds " + excerpt(ip) + ": expected {\"address\": \"10.244.1.5/24\"}");
  return *parsed;
}

bool has_no_sandbox(const Json& interface) {
  const auto sandbox = interface.is_object() ? interface.value("sandbox", Json()) : Json();
  return sandbox.is_null() || (sandbox.is_string() && sandbox.get_ref<const std::string&>().empty());
}

bool is_called(const Json& interface, const std::string& name) {
  return interface.is_object() && interface.value("name", Json()) == name;
}

// Plugins are about that tell none.
bool tells_sandboxes(const Json& result) {
  const auto interfaces = result.find("interfaces");
  return interfaces != result.end() && interfaces->is_array() &&
         !std::all_of(interfaces->begin(), interfaces->end(), has_no_sandbox);
}

// One that names no interface that is told is the pod's.
bool is_of_host(const Json& result, const Json& ip, const std::string& pod_interface) {
  const auto index = ip.find("interface");
  const auto interfaces = result.find("interfaces");
  if (index == ip.end() || index->is_null()) return false;
  if (!index->is_number_unsigned()) {
    refuse("prevResult.ips holds " + excerpt(ip) + ": expected the index of one of prevResult.interfaces");
  }
  const auto number = index->get<std::uint64_t>();
  if (interfaces == result.end() || !interfaces->is_array() || number >= interfaces->size()) return false;
  const auto& interface = (*interfaces)[number];
  return has_no_sandbox(interface) && !is_called(interface, pod_interface);
}

}  // namespace

const Json& prev_result(const Json& netconf) {
  const auto found = netconf.find("prevResult");
  if (found == netconf.end() || found->is_null()) {
    throw Error(Kind::wrong_config, "prevResult is missing: ip-masq must stand after another plugin",
                "put ip-masq at the end of the conflist, after the plugin that gives pods their addresses");
  }
  if (!found->is_object()) {
    throw Error(Kind::wrong_config, "prevResult is " + excerpt(*found) + ": expected an object");
  }
  return *found;
}

std::vector<net::InterfaceAddress> addresses(const Json& result, const std::string& pod_interface) {
  constexpr std::size_t most_addresses = 256;
  const auto ips = result.find("ips");
  if (ips == result.end() || !ips->is_array() || ips->empty()) {
    refuse("prevResult.ips is " + (ips == result.end() ? "missing" : excerpt(*ips)) +
           ": expected at least one address");
  }
  if (ips->size() > most_addresses) {
    refuse("prevResult.ips has " + std::to_string(ips->size()) + " entries: expected at most " +
           std::to_string(most_addresses));
  }
  std::vector<net::InterfaceAddress> all;
  std::vector<net::InterfaceAddress> of_pod;
  for (const auto& ip : *ips) {
    all.push_back(parse_address(ip));
    if (!is_of_host(result, ip, pod_interface)) of_pod.push_back(all.back());
  }
  if (!of_pod.empty()) return of_pod;
  if (tells_sandboxes(result)) {
    refuse(
        "prevResult.ips has addresses of the host alone, whose interface has no sandbox: expected at least "
        "one of the pod");
  }
  return all;
}

bool has_host_interface(const Json& result) {
  const auto interfaces = result.find("interfaces");
  if (interfaces == result.end() || !interfaces->is_array()) return true;
  return std::any_of(interfaces->begin(), interfaces->end(), has_no_sandbox);
}

std::vector<std::string> host_interfaces(const Json& result) {
  std::vector<std::string> names;
  const auto interfaces = result.find("interfaces");
  if (interfaces == result.end() || !interfaces->is_array()) return names;
  for (const auto& each : *interfaces) {
    const auto name = each.is_object() ? each.find("name") : each.end();
    if (name != each.end() && name->is_string() && has_no_sandbox(each))
      names.push_back(name->get<std::string>());
  }
  return names;
}

std::vector<net::Address> gateways(const Json& result) {
  std::vector<net::Address> found;
  const auto ips = result.find("ips");
  if (ips == result.end() || !ips->is_array()) return found;
  for (const auto& ip : *ips) {
    const auto gateway = ip.is_object() ? ip.find("gateway") : ip.end();
    if (gateway == ip.end() || !gateway->is_string()) continue;
    if (const auto address = net::parse_address(gateway->get_ref<const std::string&>()))
      found.push_back(*address);
  }
  return found;
}

std::vector<net::Address> gateways_of_routes(const Json& result) {
  const auto routes = result.find("routes");
  const auto text_at = [](const Json& route, const char* key) {
    const auto found = route.is_object() ? route.find(key) : route.end();
    return found != route.end() && found->is_string() ? found->get<std::string>() : "";
  };
  auto found = gateways(result);
  std::erase_if(found, [&](const net::Address& gateway) {
    return routes == result.end() || !routes->is_array() ||
           std::none_of(routes->begin(), routes->end(), [&](const Json& route) {
             const auto to = net::parse_interface_address(text_at(route, "dst"));
             const auto by = text_at(route, "gw");
             return to && to->address.family == gateway.family &&
                    (by.empty() || net::parse_address(by) == gateway);
           });
  });
  return found;
}

std::string result_json(Json result, const std::string& cni_version) {
  result["cniVersion"] = cni_version;
  return to_text(result);
}

std::string error_json(const std::string& cni_version, int code, const std::string& message,
                       const std::string& details) {
  Json json{{"cniVersion", cni_version}, {"code", code}, {"msg", message}};
  if (!details.empty()) json["details"] = details;
  return to_text(json);
}

}  // namespace ipmasq::cni
