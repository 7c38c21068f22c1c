#include "config/flannel.hpp"

#include <sstream>

#include "cni/json.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::config {

namespace {

// What the file lists under either key. Throws Error{wrong_config} for what is none, or of length 0.
std::vector<net::InterfaceAddress> listed_in(std::string_view text, const std::filesystem::path& path,
                                             std::string_view ipv4_key, std::string_view ipv6_key) {
  std::vector<net::InterfaceAddress> listed;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto equals = line.find('=');
    const auto key = line.substr(0, equals);
    if (equals == std::string::npos || (key != ipv4_key && key != ipv6_key)) continue;
    std::istringstream values(line.substr(equals + 1));
    std::string value;
    while (std::getline(values, value, ',')) {
      const auto parsed = net::parse_interface_address(value);
      if (!parsed || parsed->length == 0) {
        throw Error(Kind::wrong_config, path.string() + ", line " + std::to_string(number) + ": " + key +
                                            " holds " + cni::excerpt(value) +
                                            ": expected a network such as 10.244.0.0/16");
      }
      listed.push_back(*parsed);
    }
  }
  return listed;
}

}  // namespace

std::vector<net::Prefix> parse_cluster_networks(std::string_view text, const std::filesystem::path& path) {
  std::vector<net::Prefix> networks;
  for (const auto& listed : listed_in(text, path, "FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"))
    networks.push_back(listed.network());
  return networks;
}

std::vector<net::InterfaceAddress> read_own_subnets(const std::filesystem::path& path) {
  return listed_in(os::read_file(path).value_or(""), path, "FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET");
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
