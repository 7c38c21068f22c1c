#include "config/pod_keys.hpp"

#include <algorithm>
#include <set>
#include <string_view>

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

constexpr unsigned highest_cidr_limit = 10'000;

net::Prefix constant_prefix(std::string_view text) {
  return net::parse_interface_address(text)->network();  // NOLINT(bugprone-unchecked-optional-access)
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

std::vector<ListedPrefix> listed_in(const std::vector<net::Prefix>& list, const Origin& origin) {
  std::vector<ListedPrefix> listed;
  listed.reserve(list.size());
  for (const auto& prefix : list) listed.push_back({prefix, origin});
  return listed;
}

// A list that names one family only leaves the other at its default; an empty one means none of either.
void read_non_masquerade(Keys& keys, bool with_reserved, const std::vector<net::Prefix>* listed,
                         PodKeys& into) {
  const auto names_family = [listed](net::Family family) {
    return std::ranges::any_of(*listed,
                               [family](const net::Prefix& prefix) { return prefix.family() == family; });
  };
  const auto use_default = [&](net::Family family) {
    return listed == nullptr || (!listed->empty() && !names_family(family));
  };
  if (listed != nullptr) into.non_masquerade = listed_in(*listed, keys.origin("nonMasqueradeCIDRs"));
  const Origin by_default = "nonMasqueradeCIDRs (default)";
  for (const auto text : default_non_masquerade) {
    const auto prefix = constant_prefix(text);
    if (use_default(prefix.family())) into.non_masquerade.push_back({prefix, by_default});
  }
  if (with_reserved && use_default(net::Family::ipv4)) {
    const Origin by_key = keys.origin("nonMasqueradeReserved");
    for (const auto text : reserved) into.non_masquerade.push_back({constant_prefix(text), by_key});
  }
  std::set<net::Prefix> kept;
  for (const auto& each : into.non_masquerade) kept.insert(each.prefix);
  for (const auto& masqueraded : into.masquerade) {
    if (kept.contains(masqueraded.prefix)) {
      keys.refuse("masqueradeCIDRs", net::to_text(masqueraded.prefix),
                  "a network that nonMasqueradeCIDRs does not list too");
    }
  }
}

void read_to_ports(Keys& keys, PodKeys& into) {
  constexpr auto expected = "ports such as \"1024-29999,32768-65535\", that do not overlap";
  const auto text = keys.string("toPorts", expected);
  if (!text) return;
  const auto ranges = parse_port_ranges(*text);
  constexpr std::size_t most_ranges = 16;
  if (!ranges || ranges->size() > most_ranges) return keys.refuse("toPorts", *text, expected);
  into.to_ports = *ranges;
}

void take_boolean(Keys& keys, const char* key, bool& into, Origin* by) {
  const auto value = keys.boolean(key);
  if (!value) return;
  into = *value;
  if (by != nullptr && keys.is_of_policy(key)) *by = keys.origin(key);
}

}  // namespace

bool lets_go(const PodKeys& keys) {
  return !keys.catch_all || keys.exemption == Exemption::return_;
}

Lists read_lists(Keys& keys) {
  Lists lists;
  lists.limit = keys.number("cidrLimit", 0, highest_cidr_limit).value_or(lists.limit);
  lists.kept = read_prefixes(keys, "nonMasqueradeCIDRs");
  lists.masqueraded = read_prefixes(keys, "masqueradeCIDRs");
  lists.with_reserved = keys.boolean("nonMasqueradeReserved").value_or(lists.with_reserved);
  return lists;
}

void fill_lists(Keys& keys, const Lists& lists, PodKeys& into) {
  const auto& [limit, kept, masqueraded, with_reserved] = lists;
  const auto entries = (kept ? kept->size() : 0) + (masqueraded ? masqueraded->size() : 0);
  if (entries > limit) {
    keys.note("nonMasqueradeCIDRs", "nonMasqueradeCIDRs and masqueradeCIDRs have " + std::to_string(entries) +
                                        " entries: expected at most " + std::to_string(limit) +
                                        " (cidrLimit)");
    return;
  }
  if (masqueraded) into.masquerade = listed_in(*masqueraded, keys.origin("masqueradeCIDRs"));
  read_non_masquerade(keys, with_reserved, kept ? &*kept : nullptr, into);
}

void read_pod_values(Keys& keys, PodKeys& into) {
  read_to_ports(keys, into);
  if (keys.has("snatTo")) into.snat_to = read_snat_to(keys);
  take_boolean(keys, "catchAll", into.catch_all, &into.catch_all_by);
  take_boolean(keys, "dropInvalid", into.drop_invalid, nullptr);
  take_boolean(keys, "masqLinkLocal", into.masquerade_link_local, &into.link_local_by);
  take_boolean(keys, "masqLinkLocalIPv6", into.masquerade_link_local_ipv6, &into.link_local_ipv6_by);
  take_boolean(keys, "randomFully", into.random_fully, nullptr);
  into.exemption =
      read_choice<Exemption>(keys, "exemption", {{"hold", Exemption::hold}, {"return", Exemption::return_}})
          .value_or(into.exemption);
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

std::optional<net::Prefix> mapped_ipv4(const net::InterfaceAddress& written) {
  constexpr unsigned bits_before = 96;
  const auto mapped = constant_prefix("::ffff:0:0/96");
  if (written.length < bits_before || !mapped.contains(written.address)) return std::nullopt;
  net::Address address;
  std::copy_n(written.address.bytes.begin() + bits_before / 8, 4, address.bytes.begin());
  return net::network_of(address, written.length - bits_before);
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

}  // namespace ipmasq::config
