#include "netfilter/foreign_xtables.hpp"

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <doctest/doctest.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_set.h>
#include <linux/netfilter_bridge/ebt_mark_t.h>

namespace ipmasq::netfilter {

namespace {

template <typename Info>
nat::ForeignRule target(const char* name, unsigned revision, const Info& info) {
  nat::ForeignRule rule{.program = "iptables-legacy", .chain = "C"};
  read_xtables_target({name, revision, std::as_bytes(std::span(&info, 1))}, net::Family::ipv4, rule);
  return rule;
}

nat::ForeignRule bare_target(const char* name) {
  nat::ForeignRule rule{.program = "iptables-legacy", .chain = "C"};
  read_xtables_target({name, 0, {}}, net::Family::ipv4, rule);
  return rule;
}

constexpr auto all_bits = ~0U;

}  // namespace

TEST_CASE("targets that are known to do nothing to a packet's way, and those that are not known") {
  for (const auto* const name : {"LOG", "TCPMSS", "REJECT", "MASQUERADE", "snat", "redirect"}) {
    CHECK_FALSE(bare_target(name).is_not_known);
  }
  for (const auto* const name : {"NEW", "mARK", "LOGGING"}) CHECK(bare_target(name).is_not_known);
  CHECK(bare_target("SNPT").rewrites_source);
  CHECK(bare_target("DNPT").redirection == nat::Redirection{.by_nat = false});
  CHECK(bare_target("dnat").redirection == nat::Redirection{.by_nat = false});
}

TEST_CASE("queues of each revision of NFQUEUE") {
  const xt_NFQ_info_v3 info{.queuenum = 6, .queues_total = 2, .flags = NFQ_FLAG_BYPASS};
  CHECK(target("NFQUEUE", 0, info).queues == nat::Queues{6, 6});
  CHECK(target("NFQUEUE", 1, info).queues == nat::Queues{6, 7});
  CHECK(target("NFQUEUE", 2, info).queues == nat::Queues{6, 7, true});
  CHECK(target("NFQUEUE", 3, info).queues == nat::Queues{6, 7, true});
  CHECK(target("NFQUEUE", 3, xt_NFQ_info_v3{.queuenum = 6, .queues_total = 1, .flags = NFQ_FLAG_CPU_FANOUT})
            .queues == nat::Queues{6, 6});
  CHECK_FALSE(bare_target("NFQUEUE").queues);
}

TEST_CASE("marks of ebtables, and verdicts beside them") {
  const auto mark = [](unsigned action, int verdict) {
    return target("mark", 0,
                  ebt_mark_t_info{0x4000, static_cast<int>(action & static_cast<unsigned>(verdict))});
  };
  const auto set = mark(MARK_SET_VALUE | 0xfU, -1);
  CHECK(set.mark_change == nat::MarkChange{.flip = 0x4000});
  CHECK(set.target == "ACCEPT");
  const auto added = mark(MARK_OR_VALUE | 0xfU, -3);
  CHECK(added.mark_change == nat::MarkChange{.keep = ~0x4000U, .flip = 0x4000});
  CHECK(added.target == "mark");
  const auto masked = mark(MARK_AND_VALUE | 0xfU, -4);
  CHECK(masked.mark_change == nat::MarkChange{.keep = 0x4000});
  CHECK(masked.target == "RETURN");
  const auto flipped = mark(MARK_XOR_VALUE | 0xfU, -2);
  CHECK(flipped.mark_change == nat::MarkChange{.keep = all_bits, .flip = 0x4000});
  CHECK(flipped.target == "DROP");
  CHECK(bare_target("mark").mark_change == nat::MarkChange{.unknown = all_bits});
}

TEST_CASE("marks of connections: set, saved and restored, and moved on the way") {
  const auto made = [](std::uint8_t mode, std::uint8_t direction, std::uint8_t bits) {
    return target("CONNMARK", 2, xt_connmark_tginfo2{0x4000, 0xf000, 0xff, direction, bits, mode});
  };
  const auto set = made(XT_CONNMARK_SET, D_SHIFT_LEFT, 0);
  CHECK(set.connection_mark_change == nat::MarkChange{.keep = ~0xf000U, .flip = 0x4000});
  CHECK_FALSE(set.mark_change);
  const auto saved = made(XT_CONNMARK_SAVE, D_SHIFT_LEFT, 8);
  CHECK(saved.connection_mark_change == nat::MarkChange{.keep = ~0xf000U, .other = 0xff, .moved_by = 8});
  CHECK(saved.connection_mark_change->moved(0x40) == 0x4000);
  const auto restored = made(XT_CONNMARK_RESTORE, D_SHIFT_RIGHT, 8);
  CHECK(restored.mark_change == nat::MarkChange{.keep = ~0xffU, .other = 0xf000, .moved_by = -8});
  CHECK(restored.mark_change->moved(0x4000) == 0x40);
  CHECK_FALSE(restored.connection_mark_change);
  CHECK(made(XT_CONNMARK_SET, D_SHIFT_LEFT, 1).connection_mark_change ==
        nat::MarkChange{.unknown = all_bits});
  CHECK(made(9, D_SHIFT_LEFT, 0).mark_change == nat::MarkChange{.unknown = all_bits});
  CHECK(nat::MarkChange{.moved_by = 32}.moved(all_bits) == 0);
  CHECK(nat::MarkChange{.moved_by = -32}.moved(all_bits) == 0);
}

TEST_CASE("a mark from an ipset") {
  xt_set_info_target_v3 info{};
  info.map_set.index = IPSET_INVALID_ID;
  CHECK_FALSE(target("SET", 3, info).mark_change);
  info.map_set.index = 7;
  CHECK(target("SET", 3, info).mark_change == nat::MarkChange{.unknown = all_bits});
}

}  // namespace ipmasq::netfilter
