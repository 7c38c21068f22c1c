#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "error/error.hpp"
#include "nat/iptables_rules.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/iptables_family.hpp"
#include "netfilter/iptables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;

// The flags mean the same in both families (linux/netfilter_ipv4/ip_tables.h,
// linux/netfilter_ipv6/ip6_tables.h).
static_assert(IPT_INV_SRCIP == IP6T_INV_SRCIP && IPT_INV_DSTIP == IP6T_INV_DSTIP &&
              IPT_INV_VIA_OUT == IP6T_INV_VIA_OUT);

template <typename Tables, typename KernelAddress>
std::optional<nat::Match<net::Prefix>> match_of(const KernelAddress& address, const KernelAddress& mask,
                                                bool inverted) {
  net::Address value{Tables::family, {}};
  net::Address ones{Tables::family, {}};
  std::memcpy(value.bytes.data(), &address, sizeof address);
  std::memcpy(ones.bytes.data(), &mask, sizeof mask);
  const auto length = net::length_of(ones.bytes);
  if (length == 0) return std::nullopt;
  return nat::Match<net::Prefix>{net::network_of(value, length), inverted};
}

template <typename Entry>
void read_matches(const Entry& entry, ForeignRule& rule) {
  const auto* const start = reinterpret_cast<const std::byte*>(&entry);  // NOLINT: the kernel's layout
  for (std::size_t offset = sizeof entry; offset + sizeof(xt_entry_match) <= entry.target_offset;) {
    const auto* const match = reinterpret_cast<const xt_entry_match*>(start + offset);  // NOLINT
    const std::string_view name(match->u.user.name, strnlen(match->u.user.name, sizeof match->u.user.name));
    if (name == "comment") {
      const auto* const text = reinterpret_cast<const char*>(match + 1);  // NOLINT: xt_comment_info
      rule.comment.assign(text, strnlen(text, XT_MAX_COMMENT_LEN));
    }
    if (name == "addrtype" && match->u.user.revision == 1) {
      xt_addrtype_info_v1 info{};
      std::memcpy(&info, match + 1, sizeof info);
      rule.not_to_local = info.dest == XT_ADDRTYPE_LOCAL && info.flags == XT_ADDRTYPE_INVERT_DEST;
    }
    offset += std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
  }
}

template <typename Tables>
void append_rules(std::vector<ForeignRule>& rules) {
  if (!has_nat_table<Tables>()) return;
  visit_nat_table<Tables>([&rules](std::string_view chain, const auto& entry, std::string_view target) {
    if (nat::iptables::is_our_chain(chain) || nat::iptables::is_our_chain(target)) return;
    const auto& ip = Tables::addresses(entry);
    ForeignRule rule{.program = std::string(Tables::program) + "-legacy", .chain = std::string(chain)};
    rule.source = match_of<Tables>(ip.src, ip.smsk, (ip.invflags & IPT_INV_SRCIP) != 0);
    rule.destination = match_of<Tables>(ip.dst, ip.dmsk, (ip.invflags & IPT_INV_DSTIP) != 0);
    const std::string interface(ip.outiface, strnlen(ip.outiface, sizeof ip.outiface));
    if (!interface.empty()) rule.out_interface = {interface, (ip.invflags & IPT_INV_VIA_OUT) != 0};
    read_matches(entry, rule);
    rule.target = target;
    rules.push_back(std::move(rule));
  });
}

}  // namespace

std::vector<ForeignRule> foreign_iptables_rules() {
  std::vector<ForeignRule> rules;
  try {
    append_rules<Ipv4Tables>(rules);
    append_rules<Ipv6Tables>(rules);
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
  }
  return rules;
}

}  // namespace ipmasq::netfilter
