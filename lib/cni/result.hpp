// The result that the plugin before ip-masq in the chain handed over (CNI spec 1.1, section 4, "Result
// Types").
#pragma once

#include <string>
#include <vector>

#include "cni/json.hpp"
#include "net/address.hpp"

namespace ipmasq::cni {

/// `prevResult` of a netconf. Throws Error{wrong_config} where it is missing or not an object.
const Json& prev_result(const Json& netconf);

/// `ips[].address` of a result, in its order, at least one and at most 256: those of the pod, whose interface
/// is called `pod_interface` there (CNI_IFNAME). An address whose `interface` is another one of `interfaces`,
/// without a sandbox, is the host's, and left out, but where no interface is told a sandbox. Throws
/// Error{wrong_config}.
std::vector<net::InterfaceAddress> addresses(const Json& result, const std::string& pod_interface);

/// Whether an interface on the host's side leads to the pod (one of `interfaces` without a sandbox), as a
/// veth does and a macvlan does not; true where the result does not tell interfaces.
bool has_host_interface(const Json& result);

/// The names of those, in their order; none where the result does not tell interfaces.
std::vector<std::string> host_interfaces(const Json& result);

/// `ips[].gateway` of a result, those that are addresses.
std::vector<net::Address> gateways(const Json& result);

/// Those of them that `routes` of a result lead through: of other networks pods want none.
std::vector<net::Address> gateways_of_routes(const Json& result);

/// `result` as it came, with `cni_version` as its cniVersion.
std::string result_json(Json result, const std::string& cni_version);

/// The error object that a plugin prints instead (section 5, "Error"), as one line. `details` may be empty.
std::string error_json(const std::string& cni_version, int code, const std::string& message,
                       const std::string& details);

}  // namespace ipmasq::cni
