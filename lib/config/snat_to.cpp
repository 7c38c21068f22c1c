#include "config/snat_to.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "cni/environment.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

namespace {

constexpr auto expected =
    R"(an address such as 203.0.113.7 or 2001:db8::7, a range such as 203.0.113.8-203.0.113.15, or {"address": "203.0.113.7", "interface": "eth1"})";

struct Item {
  std::string address;
  std::optional<std::string> interface = {};
};

std::optional<Item> item_in(const cni::Json& json) {
  if (json.is_string()) return Item{json.get<std::string>()};
  if (!json.is_object() || json.size() != 2) return std::nullopt;
  const auto address = json.find("address");
  const auto interface = json.find("interface");
  const bool has_both =
      address != json.end() && address->is_string() && interface != json.end() && interface->is_string();
  if (!has_both) return std::nullopt;
  return Item{address->get<std::string>(), interface->get<std::string>()};
}

// What the kernel takes as a name, and both back ends as that name alone: '+' ends a pattern in iptables, '*'
// in nftables, and nft has no way to write '"' or what a backslash begins.
bool is_written_alike(const std::string& interface) {
  return cni::is_interface_name(interface) && std::ranges::none_of(interface, [](char c) {
           return static_cast<unsigned char>(c) > 0x7eU ||
                  std::string_view("+*\"\\'").find(c) != std::string_view::npos;
         });
}

net::Range constant_range(std::string_view text) {
  const auto prefix = net::parse_interface_address(text);
  return net::range_of(prefix->network());  // NOLINT(bugprone-unchecked-optional-access)
}

bool holds_no_source(const net::Range& range) {
  constexpr std::array<std::string_view, 6> none{"0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4",
                                                 "::/128",     "::1/128",     "ff00::/8"};
  return std::ranges::any_of(
      none, [&range](std::string_view text) { return net::overlap(constant_range(text), range); });
}

net::Range without_mapping(const net::Range& range) {
  const auto ipv4 = [](const net::Address& mapped) {
    net::Address address;
    std::copy_n(mapped.bytes.begin() + 12, 4, address.bytes.begin());
    return address;
  };
  return {ipv4(range.first), ipv4(range.last)};
}

bool is_mapped_ipv4(const net::Range& range) {
  return net::overlap(constant_range("::ffff:0:0/96"), range);
}

std::string what_is_wrong_with(const std::string& text, const std::optional<net::Range>& range) {
  if (!range) {
    const auto dash = text.find('-');
    const auto turned = dash == std::string::npos
                            ? std::nullopt
                            : net::parse_range(text.substr(dash + 1) + "-" + text.substr(0, dash));
    return turned ? "a range from its lower to its higher end, " + net::ends_text(*turned) : expected;
  }
  if (is_mapped_ipv4(*range)) {
    const bool is_single = range->first == range->last;
    const bool is_whole =
        is_mapped_ipv4({range->first, range->first}) && is_mapped_ipv4({range->last, range->last});
    if (!is_whole) return expected;
    return (is_single ? "an IPv4 address as such, " : "IPv4 addresses as such, ") +
           net::ends_text(without_mapping(*range));
  }
  return holds_no_source(*range) ? expected : "";
}

std::string one_only(net::Family family, const std::optional<std::string>& interface) {
  return std::string("at most one item of ") + (family == net::Family::ipv4 ? "IPv4 " : "IPv6 ") +
         (interface ? "for interface " + *interface : "without interface");
}

// Empty where it was taken.
std::string take(const cni::Json& json, SnatToOfFamilies& taken) {
  const auto item = item_in(json);
  if (!item) return expected;
  const auto range = net::parse_range(item->address);
  auto wrong = what_is_wrong_with(item->address, range);
  if (!wrong.empty()) return wrong;
  if (item->interface && !is_written_alike(*item->interface)) {
    return R"(as interface a name of 1 to 15 ASCII characters without blanks and / : + * " ' \)";
  }
  auto& of_family = family(*range) == net::Family::ipv4 ? taken.ipv4 : taken.ipv6;
  const bool is_first = item->interface ? of_family.by_interface.emplace(*item->interface, *range).second
                                        : !of_family.everywhere;
  if (!is_first) return one_only(family(*range), item->interface);
  if (!item->interface) of_family.everywhere = range;
  return "";
}

}  // namespace

SnatToOfFamilies read_snat_to(Keys& keys) {
  constexpr std::size_t most_items = 64;  // iptables repeats them for each entry of masqueradeCIDRs
  SnatToOfFamilies taken;
  const auto items = keys.items("snatTo", expected);
  if (!items) return taken;
  if (items->size() > most_items) {
    keys.note("snatTo", "snatTo has " + std::to_string(items->size()) + " items: expected at most " +
                            std::to_string(most_items));
    return taken;
  }
  for (const auto& item : *items) {
    const auto wrong = take(item, taken);
    if (!wrong.empty()) keys.refuse("snatTo", item, wrong);
  }
  return taken;
}

}  // namespace ipmasq::config
