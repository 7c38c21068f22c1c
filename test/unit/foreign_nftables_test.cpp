#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <doctest/doctest.h>
#include <linux/netfilter/nf_tables.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "netfilter/foreign_nftables_rule.hpp"

namespace ipmasq::netfilter {

namespace {

// What a rule of one expression is read as.
nat::ForeignRule read(const char* name, const std::function<void(nl_msg*)>& put_data) {
  const std::unique_ptr<nl_msg, void (*)(nl_msg*)> message(nlmsg_alloc(), nlmsg_free);
  nlmsg_put(message.get(), 0, 0, 0, 0, 0);
  auto* const list = nla_nest_start(message.get(), NFTA_RULE_EXPRESSIONS);
  auto* const element = nla_nest_start(message.get(), NFTA_LIST_ELEM);
  nla_put_string(message.get(), NFTA_EXPR_NAME, name);
  auto* const data = nla_nest_start(message.get(), NFTA_EXPR_DATA);
  put_data(message.get());
  nla_nest_end(message.get(), data);
  nla_nest_end(message.get(), element);
  nla_nest_end(message.get(), list);
  const auto parts = foreign_parts(list, {.program = "nft", .chain = "forward"},
                                   [](const std::string&) { return std::size_t{0}; });
  REQUIRE(parts.size() == 1);
  return parts.front();
}

}  // namespace

TEST_CASE("queues of an nft rule") {
  const auto put = [](std::uint16_t first, std::uint16_t total, std::uint16_t flags) {
    return [=](nl_msg* message) {
      nla_put_u16(message, NFTA_QUEUE_NUM, htons(first));
      nla_put_u16(message, NFTA_QUEUE_TOTAL, htons(total));
      nla_put_u16(message, NFTA_QUEUE_FLAGS, htons(flags));
    };
  };
  const auto one = read("queue", put(7, 1, 0));
  CHECK(one.target == "QUEUE");
  CHECK(one.queues == nat::Queues{7, 7});
  CHECK(read("queue", put(256, 4, NFT_QUEUE_FLAG_CPU_FANOUT)).queues == nat::Queues{256, 259});
  CHECK(read("queue", put(7, 1, NFT_QUEUE_FLAG_BYPASS)).queues == nat::Queues{7, 7, true});
  const auto by_map =
      read("queue", [](nl_msg* message) { nla_put_u32(message, NFTA_QUEUE_SREG_QNUM, htonl(1)); });
  CHECK(by_map.target == "QUEUE");
  CHECK_FALSE(by_map.queues);
}

TEST_CASE("an nft rule that sends packets out by another device") {
  CHECK(specification(read("fwd", [](nl_msg*) {})) == " -j FWD");
}

}  // namespace ipmasq::netfilter
