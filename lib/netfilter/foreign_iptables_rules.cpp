#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "error/error.hpp"
#include "nat/iptables_rules.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/foreign_xtables.hpp"
#include "netfilter/iptables_family.hpp"
#include "netfilter/iptables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;
using nat::Hook;

// The flags mean the same in both families (linux/netfilter_ipv4/ip_tables.h,
// linux/netfilter_ipv6/ip6_tables.h).
static_assert(IPT_INV_SRCIP == IP6T_INV_SRCIP && IPT_INV_DSTIP == IP6T_INV_DSTIP &&
              IPT_INV_VIA_OUT == IP6T_INV_VIA_OUT && IPT_INV_VIA_IN == IP6T_INV_VIA_IN &&
              XT_INV_PROTO == IP6T_INV_PROTO);

// A built-in chain that forwarded packets meet (linux/netfilter_ipv4.h: nf_ip_hook_priorities).
struct BuiltIn {
  const char* table;
  const char* chain;
  Hook hook;
  std::int32_t priority;
};

constexpr std::array<BuiltIn, 8> built_ins{{{"raw", "PREROUTING", Hook::prerouting, -300},
                                            {"mangle", "PREROUTING", Hook::prerouting, -150},
                                            {"nat", "PREROUTING", Hook::prerouting, -100},
                                            {"mangle", "FORWARD", Hook::forward, -150},
                                            {"filter", "FORWARD", Hook::forward, 0},
                                            {"security", "FORWARD", Hook::forward, 50},
                                            {"mangle", "POSTROUTING", Hook::postrouting, -150},
                                            {"nat", "POSTROUTING", Hook::postrouting, 100}}};

constexpr std::array<const char*, 5> tables{"nat", "raw", "mangle", "filter", "security"};

std::string_view text_in(const char* text, std::size_t size) {
  return {text, strnlen(text, size)};
}

template <typename Tables, typename KernelAddress>
std::optional<nat::Match<net::Prefix>> match_of(const KernelAddress& address, const KernelAddress& mask,
                                                bool inverted, ForeignRule& rule) {
  net::Address value{Tables::family, {}};
  net::Address ones{Tables::family, {}};
  std::memcpy(value.bytes.data(), &address, sizeof address);
  std::memcpy(ones.bytes.data(), &mask, sizeof mask);
  const auto length = net::length_of(ones.bytes);
  if (length == 0) return std::nullopt;
  net::Address all{Tables::family, {}};
  std::fill_n(all.bytes.begin(), sizeof mask, std::uint8_t{0xff});
  if (net::network_of(all, length).address != ones) {
    rule.other_matches.emplace_back("mask");
    return std::nullopt;
  }
  return nat::Match<net::Prefix>{net::network_of(value, length), inverted};
}

std::optional<nat::Match<std::string>> interface_of(const char* name, bool inverted) {
  const auto text = text_in(name, IFNAMSIZ);
  if (text.empty() || text == "+") return std::nullopt;
  return nat::Match<std::string>{std::string(text), inverted};
}

std::span<const std::byte> bytes_at(const std::byte* start, std::size_t size) {
  return {start, size};
}

template <typename Entry>
void read_matches(const Entry& entry, ForeignRule& rule) {
  const auto* const start = reinterpret_cast<const std::byte*>(&entry);  // NOLINT: the kernel's layout
  for (std::size_t offset = sizeof entry; offset + sizeof(xt_entry_match) <= entry.target_offset;) {
    const auto* const match = reinterpret_cast<const xt_entry_match*>(start + offset);  // NOLINT
    const auto size = std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
    read_xtables_match({text_in(match->u.user.name, sizeof match->u.user.name), match->u.user.revision,
                        bytes_at(start + offset + sizeof(xt_entry_match), size - sizeof(xt_entry_match))},
                       rule);
    offset += size;
  }
}

template <typename Tables>
void read_target(const typename Tables::Entry& entry, std::string_view target, ForeignRule& rule) {
  const auto* const start = reinterpret_cast<const std::byte*>(&entry) + entry.target_offset;  // NOLINT
  const auto* const header = reinterpret_cast<const xt_entry_target*>(start);                  // NOLINT
  const auto name = text_in(header->u.user.name, sizeof header->u.user.name);
  const auto size = std::max<std::size_t>(header->u.target_size, sizeof *header);
  if (name.empty()) {  // a verdict, or a jump
    rule.target = target;
    rule.is_jump =
        reinterpret_cast<const xt_standard_target*>(start)->verdict >= 0 && !target.empty();  // NOLINT
    rule.is_goto = (Tables::addresses(entry).flags & Tables::goto_flag) != 0;
    return;
  }
  read_xtables_target(
      {name, header->u.user.revision, bytes_at(start + sizeof *header, size - sizeof *header)},
      Tables::family, rule);
}

template <typename Tables>
bool has_protocol(const typename Tables::Addresses& ip) {
  if constexpr (Tables::protocol_flag != 0) return (ip.flags & Tables::protocol_flag) != 0;
  return ip.proto != 0;
}

template <typename Tables>
ForeignRule rule_of(const char* table, std::string_view chain, std::size_t index,
                    const typename Tables::Entry& entry, std::string_view target) {
  ForeignRule rule{.program = std::string(Tables::program) + "-legacy",
                   .table = table,
                   .chain = std::string(chain),
                   .number = index + 1};
  const auto& ip = Tables::addresses(entry);
  const auto is_inverted = [&ip](unsigned flag) { return (ip.invflags & flag) != 0; };
  rule.source = match_of<Tables>(ip.src, ip.smsk, is_inverted(IPT_INV_SRCIP), rule);
  rule.destination = match_of<Tables>(ip.dst, ip.dmsk, is_inverted(IPT_INV_DSTIP), rule);
  rule.in_interface = interface_of(ip.iniface, is_inverted(IPT_INV_VIA_IN));
  rule.out_interface = interface_of(ip.outiface, is_inverted(IPT_INV_VIA_OUT));
  if (has_protocol<Tables>(ip)) rule.protocol = {ip.proto, is_inverted(XT_INV_PROTO)};
  if constexpr (Tables::family == net::Family::ipv4) {
    const bool is_asked = (ip.flags & IPT_F_FRAG) != 0;
    if (is_asked) rule.is_fragment = !is_inverted(IPT_INV_FRAG);
  }
  read_matches(entry, rule);
  read_target<Tables>(entry, target, rule);
  return rule;
}

// Rules of POSTROUTING from `first` on stand before our jump.
void mark_above_ours(std::deque<ForeignRule>& rules, std::size_t first) {
  for (; first < rules.size(); ++first) {
    rules[first].is_above_ours = rules[first].chain == nat::iptables::hook_chain;
  }
}

template <typename Tables>
void append_table(const char* table, nat::Foreign& foreign) {
  const auto first = foreign.rules.size();
  const bool is_nat = table == std::string_view(nat_table);
  const auto dropping = visit_table<Tables>(
      table, [&](std::string_view chain, std::size_t index, const auto& entry, std::string_view target) {
        const bool is_ours = nat::iptables::is_our_chain(chain) || nat::iptables::is_our_chain(target);
        if (is_nat && is_ours) {
          if (chain == nat::iptables::hook_chain) mark_above_ours(foreign.rules, first);
          const auto rule = rule_of<Tables>(table, chain, index, entry, target);
          if (rule.yields()) foreign.yield_marks.iptables.push_back(rule.mark->value);
          return;
        }
        foreign.rules.push_back(rule_of<Tables>(table, chain, index, entry, target));
      });
  for (const auto& each : built_ins) {
    if (each.table != std::string_view(table)) continue;
    foreign.chains.push_back({"",
                              table,
                              each.chain,
                              each.priority,
                              each.hook,
                              is_nat,
                              std::string(Tables::program) + "-legacy",
                              {},
                              dropping.contains(each.chain)});
  }
}

template <typename Tables>
void append_tables(nat::Foreign& foreign) {
  for (const auto* const table : tables) {
    if (!has_table<Tables>(table)) continue;
    try {
      append_table<Tables>(table, foreign);
    } catch (const Error& error) {  // it went while we looked
      if (error.kind() != Kind::absent) throw;
    }
  }
}

}  // namespace

void append_foreign_iptables(nat::Foreign& foreign) {
  append_tables<Ipv4Tables>(foreign);
  append_tables<Ipv6Tables>(foreign);
}

}  // namespace ipmasq::netfilter
