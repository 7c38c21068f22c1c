#include "netfilter/nftables_refusal.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <cerrno>

#include "netfilter/nftables_rule.hpp"

namespace ipmasq::netfilter {

namespace {

using namespace nat::nftables;  // NOLINT(google-build-using-namespace): this is about edits alone

std::string text(const Error& error) {
  const auto* const kind = error.kind() == Kind::absent      ? "absent"
                           : error.kind() == Kind::refused   ? "refused"
                           : error.kind() == Kind::failed    ? "failed"
                           : error.kind() == Kind::forbidden ? "forbidden"
                                                             : "busy";
  return kind + (": " + std::string(error.what())) + " | " + error.details();
}

const Edit masquerades =
    InsertRule{"c", {}, {.statement = nat::SourceNat{{}, {}, true}}};  // NOLINT(cert-err58-cpp)

// The rule's message, and where its last expression begins.
std::pair<Message, std::uint32_t> message_of(const Edit& edit) {
  auto message = nftables_message(NFT_MSG_NEWRULE, 0, NFPROTO_INET, 4096);
  nla_put_string(message.get(), NFTA_RULE_CHAIN, "c");
  put_expressions(message.get(), std::get<InsertRule>(edit).rule);
  const auto* const start = reinterpret_cast<const char*>(nlmsg_hdr(message.get()));  // NOLINT
  std::uint32_t offset = 0;
  const Attributes attributes(*nlmsg_hdr(message.get()));
  for_each(attributes[NFTA_RULE_EXPRESSIONS], [&](const nlattr* item) {
    offset = static_cast<std::uint32_t>(reinterpret_cast<const char*>(item) - start);  // NOLINT
  });
  return {std::move(message), offset};
}

}  // namespace

TEST_CASE("a refusal says what, where in it, why, and what to do") {
  const auto [message, offset] = message_of(masquerades);
  const std::string rule = "the kernel refused \"chain c: counter masquerade fully-random\"";
  const std::string otherwise = ", or set \"backend\": \"iptables\"";
  const auto refusal = [&message = message](int number, std::optional<std::uint32_t> at,
                                            const std::string& words = "") {
    return text(refusal_of({number, 2, at, words}, &masquerades, message.get()));
  };
  CHECK(refusal(ENOENT, offset) == "absent: " + rule +
                                       ", at its expression \"masq\": No such file or directory"
                                       " | load the kernel module nft_masq" +
                                       otherwise);
  CHECK(refusal(EOPNOTSUPP, offset + 8) == "absent: " + rule +
                                               ", at its expression \"masq\": Operation not supported"
                                               " | load the kernel module nft_masq" +
                                               otherwise);
  CHECK(refusal(ENOENT, {}) == "absent: " + rule +
                                   ": No such file or directory | load the kernel modules nft_masq, nft_nat, "
                                   "nft_ct, nft_fib_inet and nft_numgen" +
                                   otherwise);
  CHECK(refusal(EINVAL, offset, "no such thing") ==
        "refused: " + rule +
            ", at its expression \"masq\": Invalid argument, no such thing | nothing was changed");
  // Not at an expression: the chain.
  CHECK(refusal(ENOENT, 20) == "refused: " + rule + ": No such file or directory | nothing was changed");
  CHECK(refusal(ENOENT, 1U << 20U) ==
        "refused: " + rule + ": No such file or directory | nothing was changed");
  CHECK(refusal(EBUSY, {}) == "refused: " + rule + ": Device or resource busy | nothing was changed");
  for (const int number : {ENOMEM, ENOBUFS, EMFILE}) CHECK(refusal(number, {}).starts_with("failed: "));
  CHECK(refusal(EPERM, {}).starts_with("forbidden: "));
}

TEST_CASE("a base chain that the kernel does not know is absent") {
  const auto message = nftables_message(NFT_MSG_NEWCHAIN, 0, NFPROTO_INET);
  const Edit base = AddChain{"postrouting", true};
  CHECK(
      text(refusal_of({ENOENT, 1, {}, ""}, &base, message.get())) ==
      "absent: the kernel refused \"chain postrouting\": No such file or directory | load the kernel module "
      "nft_chain_nat (Linux 5.2 or later is needed), or set \"backend\": \"iptables\"");
  const Edit chain = AddChain{"c", false};
  CHECK(text(refusal_of({ENOENT, 1, {}, ""}, &chain, message.get())) ==
        "refused: the kernel refused \"chain c\": No such file or directory | nothing was changed");
}

TEST_CASE("a refusal of the whole batch") {
  CHECK(
      text(refusal_of({EOPNOTSUPP, {}, {}, ""}, nullptr, nullptr)) ==
      "absent: nftables is not available: Operation not supported | load the kernel module nf_tables, or set "
      "\"backend\": \"iptables\"");
  CHECK(
      text(refusal_of({EPERM, {}, {}, ""}, nullptr, nullptr)) ==
      "forbidden: the kernel refused to change nftables: Operation not permitted | run as root, or with the "
      "capability NET_ADMIN in the node's network namespace");
  CHECK(text(refusal_of({ENOMEM, {}, {}, ""}, nullptr, nullptr)).starts_with("failed: "));
}

}  // namespace ipmasq::netfilter
