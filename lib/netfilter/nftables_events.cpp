#include "netfilter/nftables_events.hpp"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <array>
#include <cerrno>

#include "error/error.hpp"
#include "nat/nftables_rules.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

namespace {

// In messages about tables, chains, rules, sets and elements alike the first attribute names the table.
static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1 &&
              NFTA_SET_ELEM_LIST_TABLE == 1);

bool concerns_us(const nlmsghdr& message) {
  const int type = message.nlmsg_type & 0xff;
  const bool is_chain = type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN;
  return Attributes(message).text(NFTA_TABLE_NAME) == nat::nftables::table_name ||
         (is_chain && Attributes(message)[NFTA_CHAIN_HOOK] != nullptr);
}

}  // namespace

NftablesEvents::NftablesEvents() : socket_(nl_socket_alloc()) {
  if (!socket_) throw std::bad_alloc();
  nl_socket_disable_seq_check(socket_.get());
  if (nl_connect(socket_.get(), NETLINK_NETFILTER) != 0 ||
      nl_socket_add_membership(socket_.get(), NFNLGRP_NFTABLES) != 0 ||
      nl_socket_set_nonblocking(socket_.get()) != 0) {
    const int number = errno;
    throw Error(kind_of(number), "the kernel does not tell of changes of nftables (" + text_of(number) + ")");
  }
}

int NftablesEvents::descriptor() const {
  return nl_socket_get_fd(socket_.get());
}

bool NftablesEvents::drain() const {
  bool any = false;
  std::array<std::uint8_t, std::size_t{64} << 10U> block;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const auto size = ::recv(descriptor(), block.data(), block.size(), 0);
    if (size < 0 && errno == ENOBUFS) any = true;  // more than it could tell
    if (size < 0 && (errno == ENOBUFS || errno == EINTR)) continue;
    if (size <= 0) return any;
    int left = static_cast<int>(size);
    for (auto* each = reinterpret_cast<nlmsghdr*>(block.data()); nlmsg_ok(each, left) != 0;  // NOLINT
         each = nlmsg_next(each, &left)) {
      any = any || concerns_us(*each);
    }
  }
}

}  // namespace ipmasq::netfilter
