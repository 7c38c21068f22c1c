#include "config/flannel.hpp"

#include <sstream>

#include "cni/json.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::config {

namespace {

// Without blanks around it, and the '\r' of a line that Windows ended.
std::string_view trimmed(std::string_view text) {
  constexpr auto blanks = " \t\r";
  const auto first = text.find_first_not_of(blanks);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

struct Listed {
  net::InterfaceAddress address;
  std::string place;  // "FILE, line 1: KEY holds "10.244.0.0/16""
};

Listed parse_listed(std::string_view value, const std::string& place) {
  const auto told = place + " holds " + cni::excerpt(std::string(value));
  const auto parsed = net::parse_interface_address(value);
  if (!parsed || parsed->length < widest_pod_network)
    throw Error(Kind::wrong_config, told + ": expected a network such as 10.244.0.0/16");
  return {*parsed, told};
}

// What the file lists under either key. Throws Error{wrong_config} for what is none, or too wide.
std::vector<Listed> listed_in(std::string_view text, const std::filesystem::path& path,
                              std::string_view ipv4_key, std::string_view ipv6_key) {
  std::vector<Listed> listed;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto equals = line.find('=');
    const auto key = line.substr(0, equals);
    if (equals == std::string::npos || (key != ipv4_key && key != ipv6_key)) continue;
    std::istringstream values{std::string(trimmed(std::string_view(line).substr(equals + 1)))};
    std::string value;
    while (std::getline(values, value, ','))
      listed.push_back(
          parse_listed(trimmed(value), path.string() + ", line " + std::to_string(number) + ": " + key));
  }
  return listed;
}

}  // namespace

std::vector<net::Prefix> parse_cluster_networks(std::string_view text, const std::filesystem::path& path) {
  std::vector<net::Prefix> networks;
  for (const auto& [address, place] : listed_in(text, path, "FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK")) {
    // Of a line that was cut short, the length is what is left of it.
    networks.push_back(address.network());
    if (networks.back().address != address.address) {
      throw Error(Kind::wrong_config,
                  place + ": expected " + net::to_text(networks.back()) + ", if that is what is meant");
    }
  }
  if (networks.empty()) {
    throw Error(Kind::wrong_config, path.string() +
                                        " names no network: expected lines such as "
                                        "FLANNEL_NETWORK=10.244.0.0/16");
  }
  return networks;
}

std::vector<net::InterfaceAddress> read_own_subnets(const std::filesystem::path& path) {
  std::vector<net::InterfaceAddress> subnets;
  for (const auto& [address, place] :
       listed_in(os::read_file(path).value_or(""), path, "FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"))
    subnets.push_back(address);
  return subnets;
}

std::optional<bool> read_flannel_masquerades(const std::filesystem::path& path) {
  std::istringstream lines{os::read_file(path).value_or("")};
  std::string line;
  std::optional<bool> masquerades;
  while (std::getline(lines, line)) {
    if (line == "FLANNEL_IPMASQ=true") masquerades = true;
    if (line == "FLANNEL_IPMASQ=false") masquerades = false;
  }
  return masquerades;
}

std::vector<net::Prefix> read_cluster_networks(const std::filesystem::path& path) {
  const auto text = os::read_file(path);
  return text ? parse_cluster_networks(*text, path) : std::vector<net::Prefix>{};
}

}  // namespace ipmasq::config
