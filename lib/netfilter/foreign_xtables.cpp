#include "netfilter/foreign_xtables.hpp"

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_MARK.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_physdev.h>
#include <linux/netfilter/xt_rpfilter.h>
#include <linux/netfilter/xt_set.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_bridge/ebt_mark_t.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "netfilter/foreign_marks.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;

template <typename Info>
std::optional<Info> info_of(const XtablesPart& part) {
  Info info{};
  if (part.info.size() < sizeof info) return std::nullopt;
  std::memcpy(&info, part.info.data(), sizeof info);
  return info;
}

bool read_comment(const XtablesPart& match, ForeignRule& rule) {
  const auto end = std::ranges::find(match.info, std::byte{0});
  rule.comment.clear();
  for (auto each = match.info.begin(); each != end; ++each) rule.comment += static_cast<char>(*each);
  return true;
}

bool read_address_type(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_addrtype_info_v1>(match);
  if (!info || match.revision != 1) return false;
  const bool is_destination = info->dest == XT_ADDRTYPE_LOCAL && info->source == 0;
  if (is_destination && info->flags == 0) return rule.to_local = true;
  if (is_destination && info->flags == XT_ADDRTYPE_INVERT_DEST) return rule.not_to_local = true;
  if (info->source == XT_ADDRTYPE_LOCAL && info->dest == 0 && info->flags == 0) return rule.from_local = true;
  return false;
}

bool read_mark(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_mark_mtinfo1>(match);
  if (!info || match.revision != 1 || rule.mark) return false;
  rule.mark = {{info->mark, info->mask}, info->invert != 0};
  return true;
}

bool read_connection_mark(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_connmark_mtinfo1>(match);
  if (!info || match.revision != 1 || rule.connection_mark) return false;
  rule.connection_mark = {{info->mark, info->mask}, info->invert != 0};
  return true;
}

// The bits are nf_tables' own but for these.
std::uint32_t states_of(std::uint32_t bits) {
  using namespace nat::connection_state;
  constexpr std::uint32_t translations = XT_CONNTRACK_STATE_SNAT | XT_CONNTRACK_STATE_DNAT;
  return (bits & (invalid | established | related | fresh)) |
         ((bits & XT_CONNTRACK_STATE_UNTRACKED) != 0 ? untracked : 0) |
         ((bits & translations) != 0 ? translated : 0);
}

// Also of -m state, which iptables writes so.
bool read_conntrack(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_conntrack_mtinfo3>(match);
  if (!info || match.revision != 3 || rule.states ||
      (info->match_flags & ~XT_CONNTRACK_STATE_ALIAS) != XT_CONNTRACK_STATE)
    return false;
  rule.states = {states_of(info->state_mask), (info->invert_flags & XT_CONNTRACK_STATE) != 0};
  return true;
}

bool read_state(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_state_info>(match);
  if (!info || match.revision != 0 || rule.states) return false;
  const bool is_untracked = (info->statemask & XT_STATE_UNTRACKED) != 0;
  rule.states = {states_of(info->statemask & ~static_cast<unsigned>(XT_STATE_UNTRACKED)) |
                 (is_untracked ? nat::connection_state::untracked : 0)};
  return true;
}

template <typename Ports>
bool are_all(const Ports& ports) {
  return ports[0] == 0 && ports[1] == UINT16_MAX;
}

bool read_tcp(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_tcp>(match);
  if (!info || match.revision != 0 || rule.tcp_flags || !are_all(info->spts) || !are_all(info->dpts) ||
      info->option != 0 || (info->invflags & ~XT_TCP_INV_FLAGS) != 0)
    return false;
  if (info->flg_mask != 0)
    rule.tcp_flags = {{info->flg_mask, info->flg_cmp}, (info->invflags & XT_TCP_INV_FLAGS) != 0};
  return true;
}

bool read_udp(const XtablesPart& match, ForeignRule& /*rule*/) {
  const auto info = info_of<xt_udp>(match);
  return info && match.revision == 0 && are_all(info->spts) && are_all(info->dpts) && info->invflags == 0;
}

// What asks for a port is not told.
bool read_port_of_bridge(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_physdev_info>(match);
  if (!info || match.revision != 0 || rule.is_bridged || info->bitmask != XT_PHYSDEV_OP_BRIDGED) return false;
  rule.is_bridged = (info->invert & XT_PHYSDEV_OP_BRIDGED) == 0;
  return true;
}

bool read_reverse_path(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_rpfilter_info>(match);
  if (!info || match.revision != 0 || rule.has_way_back) return false;
  rule.has_way_back = (info->flags & XT_RPFILTER_INVERT) == 0;
  return true;
}

// ---- targets

net::Address address_of(const nf_inet_addr& from, net::Family family) {
  net::Address address{family, {}};
  std::memcpy(address.bytes.data(), &from, net::bits(family) / 8);
  return address;
}

// The addresses of a NAT target: revision 0 of IPv4 has a layout of its own (net/netfilter/xt_nat.c).
std::optional<net::Range> nat_range(const XtablesPart& target, net::Family family) {
  nf_inet_addr first{};
  nf_inet_addr last{};
  std::uint32_t flags = 0;
  if (target.revision == 0 && family == net::Family::ipv4) {
    const auto info = info_of<nf_nat_ipv4_multi_range_compat>(target);
    if (!info) return std::nullopt;
    flags = info->range[0].flags;
    first.ip = info->range[0].min_ip;
    last.ip = info->range[0].max_ip;
  } else {
    const auto info = info_of<nf_nat_range>(target);
    if (!info) return std::nullopt;
    flags = info->flags;
    first = info->min_addr;
    last = info->max_addr;
  }
  if ((flags & NF_NAT_RANGE_MAP_IPS) == 0) return std::nullopt;
  return net::Range{address_of(first, family), address_of(last, family)};
}

void connection_mark(const XtablesPart& target, ForeignRule& rule) {
  const auto info = info_of<xt_connmark_tginfo1>(target);
  const auto shifting = info_of<xt_connmark_tginfo2>(target);
  const bool shifts = target.revision >= 2;
  const nat::MarkChange any{.unknown = all_bits};
  if (!info || (shifts && !shifting)) {
    rule.connection_mark_change = rule.mark_change = any;
    return;
  }
  // In revision 2 the bits of the other mark come to another place (net/netfilter/xt_connmark.c).
  const int bits = shifts ? shifting->shift_bits : 0;
  const bool is_to_the_right = shifts && shifting->shift_dir == D_SHIFT_RIGHT;
  const auto moved_by = static_cast<std::int8_t>(is_to_the_right ? -std::min(bits, 32) : std::min(bits, 32));
  switch (shifts ? shifting->mode : info->mode) {
    case XT_CONNMARK_SET:
      rule.connection_mark_change =
          bits == 0 ? nat::MarkChange{.keep = ~info->ctmask, .flip = info->ctmark} : any;
      break;
    case XT_CONNMARK_SAVE:
      rule.connection_mark_change =
          nat::MarkChange{.keep = ~info->ctmask, .other = info->nfmask, .moved_by = moved_by};
      break;
    case XT_CONNMARK_RESTORE:
      rule.mark_change = nat::MarkChange{.keep = ~info->nfmask, .other = info->ctmask, .moved_by = moved_by};
      break;
    default:
      rule.connection_mark_change = rule.mark_change = any;
  }
}

// ebtables' `mark`, which also has a verdict (linux/netfilter_bridge/ebt_mark_t.h, ebtables.h: in its lowest
// bits).
void bridge_mark(const XtablesPart& target, ForeignRule& rule) {
  const auto info = info_of<ebt_mark_t_info>(target);
  if (!info) {
    rule.mark_change = nat::MarkChange{.unknown = all_bits};
    return;
  }
  constexpr std::array<const char*, 4> verdicts{"ACCEPT", "DROP", "mark", "RETURN"};  // -1 to -4
  const auto word = static_cast<std::uint32_t>(info->target);
  constexpr std::uint32_t verdict_bits = 0xf;
  const auto verdict = verdict_bits - (word & verdict_bits);
  if (verdict < verdicts.size()) rule.target = verdicts.at(verdict);
  const auto mark = static_cast<std::uint32_t>(info->mark);
  switch (word | verdict_bits) {
    case MARK_SET_VALUE | verdict_bits:
      rule.mark_change = nat::MarkChange{.flip = mark};
      break;
    case MARK_OR_VALUE | verdict_bits:
      rule.mark_change = nat::MarkChange{.keep = ~mark, .flip = mark};
      break;
    case MARK_AND_VALUE | verdict_bits:
      rule.mark_change = nat::MarkChange{.keep = mark};
      break;
    case MARK_XOR_VALUE | verdict_bits:
      rule.mark_change = nat::MarkChange{.keep = all_bits, .flip = mark};
      break;
    default:
      rule.mark_change = nat::MarkChange{.unknown = all_bits};
  }
}

// An ipset can hold the mark that a packet gets (--map-set).
bool takes_mark_from_set(const XtablesPart& target) {
  const auto info = info_of<xt_set_info_target_v3>(target);
  return target.revision >= 3 && (!info || info->map_set.index != IPSET_INVALID_ID);
}

// What does nothing that matters to where a packet goes and by which address: it counts, tells, limits, ends,
// or changes other fields. ebtables' `snat` and `redirect` are about addresses of links.
bool is_harmless(std::string_view name) {
  static const std::set<std::string_view> harmless{
      "",           "ACCEPT",    "DROP",        "RETURN",   "QUEUE",       "NFQUEUE",  "REJECT",
      "MASQUERADE", "AUDIT",     "LOG",         "NFLOG",    "ULOG",        "TRACE",    "TEE",
      "CLASSIFY",   "SECMARK",   "CONNSECMARK", "CHECKSUM", "DSCP",        "TOS",      "TTL",
      "HL",         "ECN",       "TCPMSS",      "RATEEST",  "TCPOPTSTRIP", "SYNPROXY", "LED",
      "ACCOUNT",    "IDLETIMER", "FLOWOFFLOAD", "log",      "nflog",       "arpreply", "snat",
      "redirect"};
  return harmless.contains(name);
}

// Of xt_ct_target_info, of every revision: flags, then the zone. Zone 0 is what all are in.
std::optional<nat::Zone> zone_of(const XtablesPart& target) {
  struct Begin {
    std::uint16_t flags;
    std::uint16_t zone;
  };
  const auto begin = info_of<Begin>(target);
  const bool is_told = begin && (begin->flags & XT_CT_ZONE_MARK) == 0;
  if (!begin || (begin->flags & XT_CT_NOTRACK) != 0 || (is_told && begin->zone == 0)) return std::nullopt;
  std::optional<nat::Zone> zone(std::in_place);
  if (is_told) zone->number = begin->zone;
  const auto direction = begin->flags & (XT_CT_ZONE_DIR_ORIG | XT_CT_ZONE_DIR_REPL);
  if (direction == XT_CT_ZONE_DIR_ORIG) zone->of = nat::Zone::Of::sent;
  if (direction == XT_CT_ZONE_DIR_REPL) zone->of = nat::Zone::Of::answers;
  return zone;
}

// Of every revision: which, from the second on how many, then whether they may be unread.
std::optional<nat::Queues> queues_of(const XtablesPart& target) {
  const auto info = info_of<xt_NFQ_info>(target);
  if (!info) return std::nullopt;
  const auto more = info_of<xt_NFQ_info_v3>(target);
  const auto total = target.revision > 0 && more ? std::max(more->queues_total, std::uint16_t{1}) : 1;
  return nat::Queues{info->queuenum, static_cast<std::uint16_t>(info->queuenum + total - 1),
                     target.revision > 1 && more && (more->flags & NFQ_FLAG_BYPASS) != 0};
}

bool read_address_range(const XtablesPart& match, ForeignRule& rule) {
  const auto info = info_of<xt_iprange_mtinfo>(match);
  if (!info || match.revision != 1 || rule.source_range || rule.destination_range) return false;
  const bool is_ipv6 = rule.program == "ip6tables-legacy" || rule.family == "ip6";
  const auto family = is_ipv6 ? net::Family::ipv6 : net::Family::ipv4;
  const auto range = [family](const nf_inet_addr& first, const nf_inet_addr& last) {
    return net::Range{address_of(first, family), address_of(last, family)};
  };
  if ((info->flags & IPRANGE_SRC) != 0)
    rule.source_range = {range(info->src_min, info->src_max), (info->flags & IPRANGE_SRC_INV) != 0};
  if ((info->flags & IPRANGE_DST) != 0)
    rule.destination_range = {range(info->dst_min, info->dst_max), (info->flags & IPRANGE_DST_INV) != 0};
  return true;
}

}  // namespace

void read_xtables_match(const XtablesPart& match, ForeignRule& rule) {
  using Reader = bool (*)(const XtablesPart&, ForeignRule&);
  static const std::map<std::string_view, Reader> readers{{"comment", read_comment},
                                                          {"addrtype", read_address_type},
                                                          {"mark", read_mark},
                                                          {"connmark", read_connection_mark},
                                                          {"iprange", read_address_range},
                                                          {"conntrack", read_conntrack},
                                                          {"state", read_state},
                                                          {"tcp", read_tcp},
                                                          {"udp", read_udp},
                                                          {"rpfilter", read_reverse_path},
                                                          {"physdev", read_port_of_bridge}};
  const auto reader = readers.find(match.name);
  if (reader == readers.end() || !reader->second(match, rule)) rule.other_matches.emplace_back(match.name);
}

void read_xtables_target(const XtablesPart& target, net::Family family, ForeignRule& rule) {
  const auto name = target.name;
  rule.target = name;
  if (name == "SNAT") {
    rule.translates_to = nat_range(target, family);
  } else if (name == "DNAT") {
    rule.redirection = nat::Redirection{.to = nat_range(target, family)};
  } else if (name == "REDIRECT") {
    rule.redirection = nat::Redirection{.to_this_node = true};
  } else if (name == "TPROXY") {
    rule.redirection = nat::Redirection{.to_this_node = true, .by_nat = false};
  } else if (name == "NOTRACK") {
    rule.untracks = true;
  } else if (name == "CT") {
    // The flags come first in every revision.
    const auto flags = info_of<std::uint16_t>(target);
    rule.untracks = flags && (*flags & XT_CT_NOTRACK) != 0;
    rule.zone = zone_of(target);
  } else if (name == "MARK") {
    const auto info = info_of<xt_mark_tginfo2>(target);
    rule.mark_change = info && target.revision == 2 ? nat::MarkChange{.keep = ~info->mask, .flip = info->mark}
                                                    : nat::MarkChange{.unknown = all_bits};
  } else if (name == "CONNMARK") {
    connection_mark(target, rule);
  } else if (name == "HMARK") {
    rule.mark_change = nat::MarkChange{.unknown = all_bits};
  } else if (name == "NFQUEUE") {
    rule.queues = queues_of(target);
  } else if (name == "NETMAP") {
    rule.redirection = nat::Redirection{};
  } else if (name == "SNPT" || name == "RAWSNAT") {
    rule.rewrites_source = true;
  } else if (name == "DNPT" || name == "RAWDNAT" || name == "dnat") {
    rule.redirection = nat::Redirection{.by_nat = false};
  } else if (name == "mark") {
    bridge_mark(target, rule);
  } else if (name == "SET") {
    if (takes_mark_from_set(target)) rule.mark_change = nat::MarkChange{.unknown = all_bits};
  } else {
    rule.is_not_known = !is_harmless(name);
  }
}

}  // namespace ipmasq::netfilter
