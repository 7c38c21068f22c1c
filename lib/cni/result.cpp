#include "cni/result.hpp"

#include "error/error.hpp"

namespace ipmasq::cni {

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

std::vector<net::InterfaceAddress> addresses(const Json& result) {
  const auto ips = result.find("ips");
  if (ips == result.end() || !ips->is_array() || ips->empty()) {
    throw Error(Kind::wrong_config, "prevResult.ips is " + (ips == result.end() ? "missing" : excerpt(*ips)) +
                                        ": expected at least one address");
  }
  std::vector<net::InterfaceAddress> found;
  for (const auto& ip : *ips) {
    const auto address = ip.is_object() ? ip.find("address") : ip.end();
    const auto parsed = ip.is_object() && address != ip.end() && address->is_string()
                            ? net::parse_interface_address(address->get_ref<const std::string&>())
                            : std::nullopt;
    if (!parsed) {
      throw Error(Kind::wrong_config,
                  "prevResult.ips holds " + excerpt(ip) + ": expected {\"address\": \"10.244.1.5/24\"}");
    }
    found.push_back(*parsed);
  }
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
