// The result that the plugin before ip-masq in the chain handed over (CNI spec 1.1, section 4, "Result
// Types").
#pragma once

#include <string>
#include <vector>

#include "cni/json.hpp"
#include "net/address.hpp"

namespace ipmasq::cni {

/// `prevResult` of a netconf. Throws Error{invalid_config} where it is missing or not an object.
const Json& prev_result(const Json& netconf);

/// `ips[].address` of a result, in its order, at least one. Throws Error{invalid_config}.
std::vector<net::InterfaceAddress> addresses(const Json& result);

/// `result` as it came, with `cni_version` as its cniVersion.
std::string result_json(Json result, const std::string& cni_version);

}  // namespace ipmasq::cni
