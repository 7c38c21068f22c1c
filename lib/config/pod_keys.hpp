// The keys that may differ from pod to pod: those of a network, and of each of its policies.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/exemption.hpp"
#include "config/keys.hpp"
#include "config/origin.hpp"
#include "config/port_range.hpp"
#include "config/snat_to.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

/// A destination, and the key that lists it ("nonMasqueradeCIDRs", "nonMasqueradeCIDRs (default)").
struct ListedPrefix {
  net::Prefix prefix;
  Origin origin;

  auto operator<=>(const ListedPrefix&) const = default;
};

/// The default values are those where no key of ours is written, but for the lists.
struct PodKeys {
  std::vector<ListedPrefix> non_masquerade;
  std::vector<ListedPrefix> masquerade;
  bool catch_all = true;
  bool drop_invalid = true;
  bool masquerade_link_local = false;
  bool masquerade_link_local_ipv6 = false;
  bool random_fully = true;
  std::vector<PortRange> to_ports;
  SnatToOfFamilies snat_to;
  Exemption exemption = Exemption::hold;
  /// Who says what becomes of link-local destinations, and of those that no list names.
  Origin link_local_by = "masqLinkLocal";
  Origin link_local_ipv6_by = "masqLinkLocalIPv6";
  Origin catch_all_by = "catchAll";
};

/// Whether packets of the pods may be asked about by rules that come behind ours.
bool lets_go(const PodKeys& keys);

/// What the keys of the lists say, each by itself.
struct Lists {
  static constexpr unsigned default_limit = 64;

  unsigned limit = default_limit;
  std::optional<std::vector<net::Prefix>> kept;
  std::optional<std::vector<net::Prefix>> masqueraded;
  bool with_reserved = false;
};

inline constexpr std::array<const char*, 4> list_keys{"cidrLimit", "nonMasqueradeCIDRs", "masqueradeCIDRs",
                                                      "nonMasqueradeReserved"};

/// All of them, in the order in which README tells them.
inline constexpr std::array<std::string_view, 12> pod_key_names{"nonMasqueradeCIDRs",
                                                                "masqueradeCIDRs",
                                                                "catchAll",
                                                                "nonMasqueradeReserved",
                                                                "masqLinkLocal",
                                                                "masqLinkLocalIPv6",
                                                                "cidrLimit",
                                                                "randomFully",
                                                                "toPorts",
                                                                "snatTo",
                                                                "exemption",
                                                                "dropInvalid"};

/// Those readers that fill in something note in `keys` whatever is wrong, and leave what no key says as it
/// is.
Lists read_lists(Keys& keys);
/// What they say together.
void fill_lists(Keys& keys, const Lists& lists, PodKeys& into);
/// All but the lists.
void read_pod_values(Keys& keys, PodKeys& into);

/// nullopt where there is no such key.
std::optional<std::vector<net::Prefix>> read_prefixes(Keys& keys, const char* key);

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

/// The IPv4 network that ::ffff:0:0/96 and what lies in it stand for (RFC 4291, section 2.5.5.2).
std::optional<net::Prefix> mapped_ipv4(const net::InterfaceAddress& written);

/// Throws Error{wrong_config} that tells all that is wrong, 24 problems at most.
void throw_problems(const Keys& keys);

}  // namespace ipmasq::config
