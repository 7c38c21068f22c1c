#include "config/netconf.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "config/duration.hpp"
#include "config/keys.hpp"
#include "config/known_keys.hpp"
#include "error/error.hpp"

namespace ipmasq::config {

namespace {

constexpr std::size_t most_yield_marks = 32;
constexpr std::size_t most_pod_subnets = 64;
constexpr std::size_t longest_path = 1024;

std::optional<std::filesystem::path> read_path(Keys& keys, const char* key) {
  constexpr auto expected = "an absolute path without \"..\"";
  const auto text = keys.string(key, expected);
  if (!text) return std::nullopt;
  const std::filesystem::path path(*text);
  if (!path.is_absolute() || text->size() > longest_path || text->find('\0') != std::string::npos ||
      std::ranges::find(path, "..") != path.end()) {
    keys.refuse(key, *text, expected);
    return std::nullopt;
  }
  return path;
}

std::optional<std::chrono::nanoseconds> read_duration(Keys& keys, const char* key,
                                                      std::chrono::nanoseconds shortest,
                                                      std::chrono::nanoseconds longest,
                                                      const std::string& expected) {
  const auto text = keys.string(key, expected);
  if (!text) return std::nullopt;
  const auto duration = parse_duration(*text);
  if (duration && *duration >= shortest && *duration <= longest) return duration;
  keys.refuse(key, *text, expected);
  return std::nullopt;
}

void read_yield_marks(Keys& keys, Netconf& netconf) {
  constexpr auto expected =
      "marks such as \"0x4000/0x4000\", whose mask is not 0 and covers the value, at most 32";
  const auto texts = keys.strings("yieldMarks", expected);
  if (!texts) return;
  netconf.yield_marks.clear();
  for (const auto& text : *texts) {
    const auto mark = parse_mark(text);
    if (!mark || netconf.yield_marks.size() == most_yield_marks)
      return keys.refuse("yieldMarks", text, expected);
    if (std::ranges::find(netconf.yield_marks, *mark) == netconf.yield_marks.end())
      netconf.yield_marks.push_back(*mark);
  }
}

void read_pod_subnets(Keys& keys, Netconf& netconf) {
  const auto before = keys.problems().size();
  const auto subnets = read_prefixes(keys, "podSubnets");
  if (!subnets || keys.problems().size() > before) return;
  if (subnets->empty() || subnets->size() > most_pod_subnets) {
    keys.note("podSubnets", "podSubnets has " + std::to_string(subnets->size()) + " entries: expected 1 to " +
                                std::to_string(most_pod_subnets) +
                                ", or no such key to take them from prevResult");
  }
  for (const auto& subnet : *subnets) {
    if (subnet.length == 0)
      keys.refuse("podSubnets", net::to_text(subnet), "a network of pods, not every address");
  }
  netconf.pod_subnets = *subnets;
}

void read_values(Keys& keys, Netconf& netconf) {
  using namespace std::chrono_literals;
  read_pod_values(keys, netconf);
  read_yield_marks(keys, netconf);
  read_pod_subnets(keys, netconf);
  netconf.changed_flows =
      read_choice<ChangedFlows>(
          keys, "changedFlows",
          {{"all", ChangedFlows::all}, {"keep", ChangedFlows::keep}, {"udp", ChangedFlows::udp}})
          .value_or(netconf.changed_flows);
  netconf.backend =
      read_choice<std::optional<Backend>>(
          keys, "backend",
          {{"auto", std::nullopt}, {"iptables", Backend::iptables}, {"nftables", Backend::nftables}})
          .value_or(netconf.backend);
  netconf.subnet_file = read_path(keys, "subnetFile").value_or(netconf.subnet_file);
  netconf.config_file = read_path(keys, "configFile").value_or(netconf.config_file);
  netconf.state_dir = read_path(keys, "stateDir").value_or(netconf.state_dir);
  netconf.resync_interval =
      read_duration(keys, "resyncInterval", 1s, 24h, "a duration from 1s to 24h, such as \"1m30s\"")
          .value_or(netconf.resync_interval);
  netconf.lock_timeout =
      read_duration(keys, "lockTimeout", 0s, 10min, "a duration of at most 10m, such as \"30s\" or \"500ms\"")
          .value_or(netconf.lock_timeout);
}

FindKey finding_in(const cni::Json& object) {
  return [&object](const char* key) {
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
  };
}

void tell_of(const AgentFile& file, Netconf& netconf) {
  std::ranges::copy(file.slips, std::back_inserter(netconf.warnings));
  std::ranges::copy(file.warnings, std::back_inserter(netconf.warnings));
}

}  // namespace

Netconf parse_netconf(const cni::Json& json, const AgentFile* file) {
  auto merged = json;
  if (file != nullptr) merged.update(file->keys);
  Netconf netconf;
  Keys keys(merged, file);
  fill_lists(keys, read_lists(keys), netconf);
  read_values(keys, netconf);
  const auto* const policies_in = file != nullptr && file->keys.contains("policies") ? file : nullptr;
  netconf.policies = read_policies(keys, policies_in, netconf, finding_in(merged));
  throw_problems(keys);
  netconf.warnings = slips_of(json);
  if (file != nullptr) tell_of(*file, netconf);
  return netconf;
}

Netconf with_file(Netconf alone, const cni::Json& json, const AgentFile& file) {
  auto netconf = std::move(alone);
  auto asked = file.keys;
  const auto is_in_file = [&file](const char* key) { return file.keys.contains(key); };
  const bool has_lists = std::ranges::any_of(list_keys, is_in_file);
  for (const auto* const key : list_keys) {
    if (has_lists && json.contains(key) && !is_in_file(key)) asked[key] = json.at(key);
  }
  Keys keys(asked, &file);
  if (has_lists) {
    netconf.non_masquerade.clear();
    netconf.masquerade.clear();
    fill_lists(keys, read_lists(keys), netconf);
  }
  read_values(keys, netconf);
  const auto find = [&](const char* key) { return finding_in(is_in_file(key) ? file.keys : json)(key); };
  if (is_in_file("policies")) {
    netconf.policies = read_policies(keys, &file, netconf, find);
  } else if (json.contains("policies")) {
    Keys own(json);
    netconf.policies = read_policies(own, nullptr, netconf, find);
    keys.take_problems(own);
  }
  throw_problems(keys);
  tell_of(file, netconf);
  return netconf;
}

void check_values(const AgentFile& file) {
  Keys keys(file.keys, &file);
  Netconf ignored;
  read_lists(keys);
  read_values(keys, ignored);
  check_policies(keys, &file);
  throw_problems(keys);
}

std::filesystem::path parse_state_dir(const cni::Json& json) {
  Keys keys(json);
  auto state_dir = read_path(keys, "stateDir").value_or(Netconf{}.state_dir);
  throw_problems(keys);
  return state_dir;
}

std::vector<net::Prefix> pod_subnets_of(const Netconf& netconf,
                                        const std::vector<net::InterfaceAddress>& addresses) {
  const auto refuse = [](const std::string& message) -> void { throw Error(Kind::wrong_config, message); };
  std::vector<net::Prefix> subnets;
  std::set<net::Prefix> seen;
  for (const auto& pod : addresses) {
    const bool stays_on_link = pod.address.family == net::Family::ipv6 && pod.address.is_link_local();
    if (pod.address.is_loopback() || stays_on_link) continue;
    const auto text = net::to_text(pod);
    const bool is_of_a_pod = !pod.address.is_unspecified() && !pod.address.is_multicast() &&
                             pod.length >= widest_pod_network && !mapped_ipv4({pod.address, pod.length});
    if (!is_of_a_pod) {
      refuse("prevResult.ips holds " + text +
             ": expected the address of a pod with the length of its network");
    }
    const auto is_of_family = [&](const net::Prefix& subnet) {
      return subnet.family() == pod.address.family;
    };
    std::vector<net::Prefix> candidates;
    std::ranges::copy_if(netconf.pod_subnets, std::back_inserter(candidates), is_of_family);
    if (candidates.empty()) candidates.push_back(pod.network());
    if (std::ranges::none_of(candidates,
                             [&](const net::Prefix& subnet) { return subnet.contains(pod.address); })) {
      refuse("podSubnets does not hold the pod's address " + text + ": expected a network that does");
    }
    for (const auto& subnet : candidates) {
      if (seen.insert(subnet).second) subnets.push_back(subnet);
    }
  }
  if (subnets.empty()) refuse("prevResult.ips has no address that leaves the node: expected at least one");
  return subnets;
}

void check_netconf(const cni::Json& json, const AgentFile* file) {
  parse_netconf(json, file);
}

std::chrono::nanoseconds parse_lock_timeout(const cni::Json& json) {
  return parse_netconf(json).lock_timeout;
}

std::vector<net::Prefix> default_non_masquerade() {
  std::vector<net::Prefix> networks;
  for (const auto& listed : parse_netconf(cni::Json::object()).non_masquerade)
    networks.push_back(listed.prefix);
  return networks;
}

}  // namespace ipmasq::config
