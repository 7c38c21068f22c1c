#include "netfilter/iptables_matches.hpp"

#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_statistic.h>

#include <array>
#include <cstring>
#include <string>

#include "netfilter/iptables_addresses.hpp"
#include "netfilter/iptables_bytes.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::iptables::Redirected;
using nat::iptables::Rule;

struct Mark {
  using Info = xt_mark_mtinfo1;
  static constexpr std::string_view name = "mark";
  static constexpr std::uint8_t revision = 1;
  static constexpr std::string_view module = "xt_mark";

  static bool is_in(const Rule& rule) { return rule.mark.has_value(); }
  static void write(const Rule& rule, Info& info) { info = {rule.mark->value, rule.mark->mask, 0}; }
  static bool read(const Info& info, Rule& rule) {
    if (info.invert != 0) return false;
    rule.mark = config::Mark{info.mark, info.mask};
    return true;
  }
};

struct ToLocal {
  using Info = xt_addrtype_info_v1;
  static constexpr std::string_view name = "addrtype";
  static constexpr std::uint8_t revision = 1;
  static constexpr std::string_view module = "xt_addrtype";

  static bool is_in(const Rule& rule) { return rule.to_local; }
  static void write(const Rule& /*rule*/, Info& info) { info.dest = XT_ADDRTYPE_LOCAL; }
  static bool read(const Info& info, Rule& rule) {
    rule.to_local = info.source == 0 && info.dest == XT_ADDRTYPE_LOCAL && info.flags == 0;
    return rule.to_local;
  }
};

struct Conntrack {
  using Info = xt_conntrack_mtinfo3;
  static constexpr std::string_view name = "conntrack";
  static constexpr std::uint8_t revision = 3;
  static constexpr std::string_view module = "xt_conntrack";

  static bool is_in(const Rule& rule) { return rule.redirected.has_value(); }
  static void write(const Rule& rule, Info& info) {
    if (rule.redirected == Redirected::by_status) {
      info.match_flags = XT_CONNTRACK_STATE;
      info.state_mask = XT_CONNTRACK_STATE_DNAT;
    } else {
      info.match_flags = info.invert_flags = XT_CONNTRACK_ORIGDST;
      put_prefix(rule.destination, info.origdst_addr, info.origdst_mask);
    }
  }
  static bool read(const Info& info, Rule& rule) {
    if (info.match_flags == XT_CONNTRACK_STATE && info.invert_flags == 0) {
      if (info.state_mask != XT_CONNTRACK_STATE_DNAT) return false;
      rule.redirected = Redirected::by_status;
      return true;
    }
    if (info.match_flags != XT_CONNTRACK_ORIGDST || info.invert_flags != XT_CONNTRACK_ORIGDST ||
        !rule.destination)
      return false;
    // Of IPv4 the rest of the union is whatever its writer left there; iptables fills a host's mask up.
    const auto family = rule.destination->family();
    bool whole = true;
    const auto addressee = family == net::Family::ipv4
                               ? get_prefix(family, info.origdst_addr.in, info.origdst_mask.in, whole)
                               : get_prefix(family, info.origdst_addr.in6, info.origdst_mask.in6, whole);
    if (!whole || addressee != rule.destination) return false;
    rule.redirected = Redirected::by_addressee;
    return true;
  }
};

struct Share {
  using Info = xt_statistic_info;
  static constexpr std::string_view name = "statistic";
  static constexpr std::uint8_t revision = 0;
  static constexpr std::string_view module = "xt_statistic";

  static bool is_in(const Rule& rule) { return rule.probability.has_value(); }
  static void write(const Rule& rule, Info& info) {
    info.mode = XT_STATISTIC_MODE_RANDOM;
    info.u.random.probability = *rule.probability;
  }
  static bool read(const Info& info, Rule& rule) {
    if (info.mode != XT_STATISTIC_MODE_RANDOM || info.flags != 0) return false;
    rule.probability = info.u.random.probability;
    return true;
  }
};

struct Comment {
  using Info = xt_comment_info;
  static constexpr std::string_view name = "comment";
  static constexpr std::uint8_t revision = 0;
  static constexpr std::string_view module = "xt_comment";

  static bool is_in(const Rule& rule) { return !rule.comment.empty(); }
  static void write(const Rule& rule, Info& info) { store_name(info.comment, rule.comment.text()); }
  static bool read(const Info& info, Rule& rule) {
    rule.comment = name_in(info.comment);
    return !rule.comment.empty();
  }
};

template <typename Match>
constexpr MatchKind kind_of() {
  using Info = typename Match::Info;
  return {
      Match::name,
      Match::revision,
      Match::module,
      sizeof(Info),
      Match::is_in,
      [](const Rule& rule, std::byte* into) {
        Info info{};
        Match::write(rule, info);
        std::memcpy(into, &info, sizeof info);
      },
      [](const std::byte* from, Rule& rule) { return Match::read(load<Info>(from), rule); },
  };
}

constexpr std::array all_kinds{kind_of<Mark>(), kind_of<ToLocal>(), kind_of<Conntrack>(), kind_of<Share>(),
                               kind_of<Comment>()};

}  // namespace

std::span<const MatchKind> match_kinds() {
  return all_kinds;
}

}  // namespace ipmasq::netfilter
