#include "nat/explain.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <ostream>

#include "cni/error.hpp"
#include "cni/json.hpp"
#include "plugin/command_line.hpp"
#include "plugin/wanted.hpp"

namespace ipmasq::plugin {

namespace {

net::Address parse_operand(const char* what, const std::string& text) {
  const auto address = net::parse_address(text);
  if (address) return *address;
  throw cni::Error(
      cni::ErrorCode::invalid_config,
      std::string(what) + " is \"" + text + "\": expected an address such as 10.244.1.5 or fd00::5");
}

bool is_address(const sockaddr* socket_address, const net::Address& address) {
  if (socket_address == nullptr) return false;
  const bool is_ipv4 = address.family == net::Family::ipv4;
  if (socket_address->sa_family != (is_ipv4 ? AF_INET : AF_INET6)) return false;
  // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  const void* const bytes =
      is_ipv4 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(socket_address)->sin_addr)
              : &reinterpret_cast<const sockaddr_in6*>(socket_address)->sin6_addr;
  // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
  return std::memcmp(bytes, address.bytes.data(), net::bits(address.family) / 8) == 0;
}

bool is_of_this_node(const net::Address& address) {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) cni::throw_errno("cannot list this node's addresses");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, ::freeifaddrs);
  for (const auto* each = first; each != nullptr; each = each->ifa_next) {
    if (is_address(each->ifa_addr, address)) return true;
  }
  return false;
}

nat::Explanation explain_on_this_node(const nat::Ruleset& ruleset, const net::Address& source,
                                      const net::Address& destination) {
  if (is_of_this_node(destination)) {
    return {nat::Fate::left_alone, net::to_text(destination) + " is an address of this node", {}, {}};
  }
  return nat::explain(ruleset, source, destination);
}

std::string fate_text(nat::Fate fate) {
  switch (fate) {
    case nat::Fate::kept:
      return "kept";
    case nat::Fate::masqueraded:
      return "masqueraded";
    case nat::Fate::left_alone:
      return "left alone";
  }
  return "";
}

cni::Json to_json(const std::string& source, const std::string& destination,
                  const nat::Explanation& explanation) {
  cni::Json json{{"source", source},
                 {"destination", destination},
                 {"fate", fate_text(explanation.fate)},
                 {"why", explanation.why}};
  if (explanation.destination) json["prefix"] = net::to_text(*explanation.destination);
  if (explanation.pod_subnet) {
    json["network"] = explanation.pod_subnet->network;
    json["podSubnet"] = net::to_text(explanation.pod_subnet->prefix);
  }
  return json;
}

void print(const std::string& source, const std::string& destination, const nat::Explanation& explanation,
           std::ostream& output) {
  output << source << " -> " << destination << ": " << fate_text(explanation.fate) << '\n';
  output << "  " << explanation.why;
  if (explanation.destination) output << ": " << net::to_text(*explanation.destination);
  output << '\n';
  if (!explanation.pod_subnet) return;
  const auto& subnet = *explanation.pod_subnet;
  output << "  network " << subnet.network << ", pod subnet " << net::to_text(subnet.prefix) << '\n';
  if (explanation.fate == nat::Fate::kept && subnet.exemption == config::Exemption::yield) {
    output << "  exemption is \"return\": other rules of this node may still masquerade it\n";
  }
}

}  // namespace

void explain(const std::filesystem::path& state_dir, const std::string& source,
             const std::string& destination, OutputFormat format, std::ostream& output) {
  const auto from = parse_operand("SRC", source);
  const auto towards = parse_operand("DST", destination);
  if (from.family != towards.family) {
    throw cni::Error(cni::ErrorCode::invalid_config,
                     "SRC and DST are of different families: " + source + ", " + destination);
  }
  const auto wanted = wanted_of(state::Store(state_dir).load()).all();
  const auto explanation = explain_on_this_node(wanted, from, towards);
  if (format == OutputFormat::json) {
    output << to_json(source, destination, explanation).dump(2) << '\n';
  } else {
    print(source, destination, explanation, output);
  }
}

}  // namespace ipmasq::plugin
