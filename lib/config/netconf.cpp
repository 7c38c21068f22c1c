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

// RFC 1918 and RFC 4193.
constexpr std::array<std::string_view, 4> default_non_masquerade{"10.0.0.0/8", "172.16.0.0/12",
                                                                 "192.168.0.0/16", "fc00::/7"};
// RFC 6598, 6890, 5737, 7526 (3068), 2544, 1112: every other IPv4 range that is reserved.
constexpr std::array<std::string_view, 8> reserved{"100.64.0.0/10",  "192.0.0.0/24",  "192.0.2.0/24",
                                                   "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
                                                   "203.0.113.0/24", "240.0.0.0/4"};

constexpr unsigned default_cidr_limit = 64;
constexpr unsigned highest_cidr_limit = 10'000;
constexpr std::size_t most_yield_marks = 32;
constexpr std::size_t most_pod_subnets = 64;
constexpr std::size_t longest_path = 1024;

net::Prefix constant_prefix(std::string_view text) {
  return net::parse_interface_address(text)->network();  // NOLINT(bugprone-unchecked-optional-access)
}

// The IPv4 network that ::ffff:0:0/96 and what lies in it stand for (RFC 4291, section 2.5.5.2).
std::optional<net::Prefix> mapped_ipv4(const net::InterfaceAddress& written) {
  constexpr unsigned bits_before = 96;
  const auto mapped = constant_prefix("::ffff:0:0/96");
  if (written.length < bits_before || !mapped.contains(written.address)) return std::nullopt;
  net::Address address;
  std::copy_n(written.address.bytes.begin() + bits_before / 8, 4, address.bytes.begin());
  return net::network_of(address, written.length - bits_before);
}

std::optional<net::Prefix> read_prefix(Keys& keys, const char* key, const std::string& text) {
  const auto parsed = net::parse_interface_address(text);
  if (!parsed) {
    keys.refuse(key, text, "a network such as 10.0.0.0/8 or fd00::/8");
    return std::nullopt;
  }
  const auto network = parsed->network();
  if (const auto mapped = mapped_ipv4(*parsed)) {
    keys.refuse(key, text, "an IPv4 network as such, " + net::to_text(*mapped));
    return std::nullopt;
  }
  if (network.address != parsed->address) {
    keys.refuse(key, text, "an aligned network, " + net::to_text(network));
    return std::nullopt;
  }
  return network;
}

std::optional<std::vector<net::Prefix>> read_prefixes(Keys& keys, const char* key) {
  const auto texts = keys.strings(key, "networks such as 10.0.0.0/8 or fd00::/8");
  if (!texts) return std::nullopt;
  std::vector<net::Prefix> prefixes;
  std::set<net::Prefix> seen;
  for (const auto& text : *texts) {
    const auto prefix = read_prefix(keys, key, text);
    if (prefix && seen.insert(*prefix).second) prefixes.push_back(*prefix);
  }
  return prefixes;
}

template <typename Value>
std::optional<Value> read_choice(Keys& keys, const char* key, const std::map<std::string, Value>& choices) {
  std::string expected;
  for (const auto& [name, value] : choices) expected += (expected.empty() ? "\"" : " or \"") + name + "\"";
  const auto text = keys.string(key, expected);
  if (!text) return std::nullopt;
  const auto found = choices.find(*text);
  if (found != choices.end()) return found->second;
  keys.refuse(key, *text, expected);
  return std::nullopt;
}

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

std::vector<ListedPrefix> listed_in(const std::vector<net::Prefix>& list, const Origin& origin) {
  std::vector<ListedPrefix> listed;
  listed.reserve(list.size());
  for (const auto& prefix : list) listed.push_back({prefix, origin});
  return listed;
}

// A list that names one family only leaves the other at its default; an empty one means none of either.
void read_non_masquerade(Keys& keys, bool with_reserved, const std::vector<net::Prefix>* listed,
                         Netconf& netconf) {
  const auto names_family = [listed](net::Family family) {
    return std::ranges::any_of(*listed,
                               [family](const net::Prefix& prefix) { return prefix.family() == family; });
  };
  const auto use_default = [&](net::Family family) {
    return listed == nullptr || (!listed->empty() && !names_family(family));
  };
  if (listed != nullptr) netconf.non_masquerade = listed_in(*listed, keys.origin("nonMasqueradeCIDRs"));
  const Origin by_default = "nonMasqueradeCIDRs (default)";
  for (const auto text : default_non_masquerade) {
    const auto prefix = constant_prefix(text);
    if (use_default(prefix.family())) netconf.non_masquerade.push_back({prefix, by_default});
  }
  if (with_reserved && use_default(net::Family::ipv4)) {
    const Origin by_key = keys.origin("nonMasqueradeReserved");
    for (const auto text : reserved) netconf.non_masquerade.push_back({constant_prefix(text), by_key});
  }
  std::set<net::Prefix> kept;
  for (const auto& each : netconf.non_masquerade) kept.insert(each.prefix);
  for (const auto& masqueraded : netconf.masquerade) {
    if (kept.contains(masqueraded.prefix)) {
      keys.refuse("masqueradeCIDRs", net::to_text(masqueraded.prefix),
                  "a network that nonMasqueradeCIDRs does not list too");
    }
  }
}

// What the keys of the lists say, each by itself.
struct Lists {
  unsigned limit = default_cidr_limit;
  std::optional<std::vector<net::Prefix>> kept;
  std::optional<std::vector<net::Prefix>> masqueraded;
  bool with_reserved = false;
};

constexpr std::array<const char*, 4> list_keys{"cidrLimit", "nonMasqueradeCIDRs", "masqueradeCIDRs",
                                               "nonMasqueradeReserved"};

Lists read_lists(Keys& keys) {
  Lists lists;
  lists.limit = keys.number("cidrLimit", 0, highest_cidr_limit).value_or(lists.limit);
  lists.kept = read_prefixes(keys, "nonMasqueradeCIDRs");
  lists.masqueraded = read_prefixes(keys, "masqueradeCIDRs");
  lists.with_reserved = keys.boolean("nonMasqueradeReserved").value_or(lists.with_reserved);
  return lists;
}

// What they say together.
void fill_lists(Keys& keys, const Lists& lists, Netconf& netconf) {
  const auto& [limit, kept, masqueraded, with_reserved] = lists;
  const auto entries = (kept ? kept->size() : 0) + (masqueraded ? masqueraded->size() : 0);
  if (entries > limit) {
    keys.note("nonMasqueradeCIDRs", "nonMasqueradeCIDRs and masqueradeCIDRs have " + std::to_string(entries) +
                                        " entries: expected at most " + std::to_string(limit) +
                                        " (cidrLimit)");
    return;
  }
  if (masqueraded) netconf.masquerade = listed_in(*masqueraded, keys.origin("masqueradeCIDRs"));
  read_non_masquerade(keys, with_reserved, kept ? &*kept : nullptr, netconf);
}

void read_to_ports(Keys& keys, Netconf& netconf) {
  constexpr auto expected = "ports such as \"1024-29999,32768-65535\", that do not overlap";
  const auto text = keys.string("toPorts", expected);
  if (!text) return;
  const auto ranges = parse_port_ranges(*text);
  constexpr std::size_t most_ranges = 16;
  if (!ranges || ranges->size() > most_ranges) return keys.refuse("toPorts", *text, expected);
  netconf.to_ports = *ranges;
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
  read_to_ports(keys, netconf);
  if (keys.has("snatTo")) netconf.snat_to = read_snat_to(keys);
  read_yield_marks(keys, netconf);
  read_pod_subnets(keys, netconf);
  netconf.catch_all = keys.boolean("catchAll").value_or(netconf.catch_all);
  netconf.drop_invalid = keys.boolean("dropInvalid").value_or(netconf.drop_invalid);
  netconf.masquerade_link_local = keys.boolean("masqLinkLocal").value_or(netconf.masquerade_link_local);
  netconf.masquerade_link_local_ipv6 =
      keys.boolean("masqLinkLocalIPv6").value_or(netconf.masquerade_link_local_ipv6);
  netconf.random_fully = keys.boolean("randomFully").value_or(netconf.random_fully);
  netconf.exemption =
      read_choice<Exemption>(keys, "exemption", {{"hold", Exemption::hold}, {"return", Exemption::return_}})
          .value_or(netconf.exemption);
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

void throw_problems(const Keys& keys) {
  if (keys.problems().empty()) return;
  constexpr std::size_t most_told = 24;  // each key once, at least
  const auto& problems = keys.problems();
  std::string message;
  for (std::size_t index = 0; index < std::min(problems.size(), most_told); ++index)
    message += (message.empty() ? "" : "; ") + problems[index];
  if (problems.size() > most_told)
    message += "; and " + std::to_string(problems.size() - most_told) + " more";
  throw Error(Kind::wrong_config, message);
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
  throw_problems(keys);
  tell_of(file, netconf);
  return netconf;
}

void check_values(const AgentFile& file) {
  Keys keys(file.keys, &file);
  Netconf ignored;
  read_lists(keys);
  read_values(keys, ignored);
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
