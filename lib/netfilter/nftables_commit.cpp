#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <variant>

#include "error/error.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_rule.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::Interval;
using nat::nftables::Edit;

const std::string our_table(nat::nftables::table_name);

constexpr std::size_t largest_message = std::size_t{64} << 10U;
constexpr std::size_t largest_rule = std::size_t{4} << 10U;
// An element takes up to 700 bytes (two ends, a chain's name), and an attribute holds less than 64 KiB.
constexpr std::size_t most_elements = 64;

// As nft numbers them, for nft list to know what to print (nftables: include/datatype.h).
constexpr std::uint32_t ipv4_type = 7;
constexpr std::uint32_t ipv6_type = 8;

void put_number(const Message& message, int type, std::uint32_t number) {
  nla_put_u32(message.get(), type, htonl(number));
}

void put_text(const Message& message, int type, const std::string& text) {
  nla_put_string(message.get(), type, text.c_str());
}

template <typename Fill>
void put_nest(const Message& message, int type, Fill fill) {
  auto* const nest = nla_nest_start(message.get(), type);
  fill();
  nla_nest_end(message.get(), nest);
}

// Turns edits into the messages of a batch.
class BatchWriter {
 public:
  void operator()(const nat::nftables::AddTable& /*edit*/) {
    put_text(add(NFT_MSG_NEWTABLE, NLM_F_CREATE), NFTA_TABLE_NAME, our_table);
  }
  void operator()(const nat::nftables::DeleteTable& /*edit*/) {
    put_text(add(NFT_MSG_DELTABLE, 0), NFTA_TABLE_NAME, our_table);
  }
  void operator()(const nat::nftables::AddChain& edit) {
    const auto& message = add(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    put_text(message, NFTA_CHAIN_TABLE, our_table);
    put_text(message, NFTA_CHAIN_NAME, edit.chain);
    if (!edit.is_base) return;
    put_nest(message, NFTA_CHAIN_HOOK, [&] {
      put_number(message, NFTA_HOOK_HOOKNUM, NF_INET_POST_ROUTING);
      put_number(message, NFTA_HOOK_PRIORITY, nat::nftables::base_priority);
    });
    put_number(message, NFTA_CHAIN_POLICY, NF_ACCEPT);
    put_text(message, NFTA_CHAIN_TYPE, "nat");
  }
  void operator()(const nat::nftables::DeleteChain& edit) {
    const auto& message = add(NFT_MSG_DELCHAIN, 0);
    put_text(message, NFTA_CHAIN_TABLE, our_table);
    put_text(message, NFTA_CHAIN_NAME, edit.chain);
  }
  void operator()(const nat::nftables::AddSet& edit) {
    const auto& message = add(NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
    put_text(message, NFTA_SET_TABLE, our_table);
    put_text(message, NFTA_SET_NAME, edit.set);
    put_number(message, NFTA_SET_FLAGS, edit.is_map ? NFT_SET_INTERVAL | NFT_SET_MAP : NFT_SET_INTERVAL | 0);
    put_number(message, NFTA_SET_KEY_TYPE, edit.family == net::Family::ipv4 ? ipv4_type : ipv6_type);
    put_number(message, NFTA_SET_KEY_LEN, bytes_of(edit.family));
    put_number(message, NFTA_SET_ID, ++sets_);
    if (edit.is_map) put_number(message, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
  }
  void operator()(const nat::nftables::DeleteSet& edit) {
    const auto& message = add(NFT_MSG_DELSET, 0);
    put_text(message, NFTA_SET_TABLE, our_table);
    put_text(message, NFTA_SET_NAME, edit.set);
  }
  void operator()(const nat::nftables::AddElements& edit) {
    put_elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, edit.set, edit.elements);
  }
  void operator()(const nat::nftables::DeleteElements& edit) {
    put_elements(NFT_MSG_DELSETELEM, 0, edit.set, edit.elements);
  }
  void operator()(const nat::nftables::InsertRule& edit) {
    const auto& message =
        add(NFT_MSG_NEWRULE, edit.before ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND, largest_rule);
    put_text(message, NFTA_RULE_TABLE, our_table);
    put_text(message, NFTA_RULE_CHAIN, edit.chain);
    if (edit.before) nla_put_u64(message.get(), NFTA_RULE_POSITION, htobe64(*edit.before));
    put_expressions(message.get(), edit.rule);
  }
  void operator()(const nat::nftables::DeleteRule& edit) {
    const auto& message = add(NFT_MSG_DELRULE, 0);
    put_text(message, NFTA_RULE_TABLE, our_table);
    put_text(message, NFTA_RULE_CHAIN, edit.chain);
    nla_put_u64(message.get(), NFTA_RULE_HANDLE, htobe64(edit.handle));
  }

  const std::vector<Message>& messages() const { return messages_; }

 private:
  const Message& add(int type, int flags, std::size_t size = 1024) {
    return messages_.emplace_back(nftables_message(type, flags, NFPROTO_INET, size));
  }

  void put_elements(int type, int flags, const std::string& set,
                    const std::vector<Interval<std::string>>& elements) {
    for (std::size_t start = 0; start < elements.size(); start += most_elements) {
      const auto& message = add(type, flags, largest_message);
      put_text(message, NFTA_SET_ELEM_LIST_TABLE, our_table);
      put_text(message, NFTA_SET_ELEM_LIST_SET, set);
      put_nest(message, NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
        const auto end = std::min(start + most_elements, elements.size());
        for (auto index = start; index < end; ++index) put_interval(message, elements[index]);
      });
    }
  }

  // An interval is the element that opens it and, short of the last address, the one behind it that closes
  // it.
  static void put_interval(const Message& message, const Interval<std::string>& interval) {
    put_end(message, interval.range.first, 0, interval.value);
    const auto behind = net::next(interval.range.last);
    if (behind) put_end(message, *behind, NFT_SET_ELEM_INTERVAL_END, "");
  }

  static void put_end(const Message& message, const net::Address& address, std::uint32_t flags,
                      const std::string& chain) {
    put_nest(message, NFTA_LIST_ELEM, [&] {
      put_nest(message, NFTA_SET_ELEM_KEY, [&] {
        nla_put(message.get(), NFTA_DATA_VALUE, static_cast<int>(bytes_of(address.family)),
                address.bytes.data());
      });
      if (flags != 0) put_number(message, NFTA_SET_ELEM_FLAGS, flags);
      if (chain.empty()) return;
      put_nest(message, NFTA_SET_ELEM_DATA, [&] {
        put_nest(message, NFTA_DATA_VERDICT, [&] {
          put_number(message, NFTA_VERDICT_CODE, static_cast<std::uint32_t>(NFT_GOTO));
          put_text(message, NFTA_VERDICT_CHAIN, chain);
        });
      });
    });
  }

  std::vector<Message> messages_;
  std::uint32_t sets_ = 0;
};

[[noreturn]] void throw_refused(int number) {
  throw Error(Kind::refused,
              "the kernel refused our nftables table: " + std::generic_category().message(number),
              "it needs the modules nft_chain_nat, nft_masq, nft_nat, nft_ct, nft_fib_inet and nft_numgen");
}

}  // namespace

std::vector<Edit> change_nftables_table(const NftablesEditsFor& edits_for) {
  constexpr int most_tries = 5;
  for (int tries = 1;; ++tries) {
    auto edits = edits_for(read_nftables_table());
    if (edits.empty()) return edits;
    BatchWriter batch;
    for (const auto& edit : edits) std::visit(batch, edit);
    const int refusal = NetfilterSocket().commit(batch.messages());
    if (refusal == 0) return edits;
    // Somebody may have changed our table since it was read.
    const bool may_have_changed =
        refusal == ENOENT || refusal == EEXIST || refusal == EBUSY || refusal == EAGAIN || refusal == EINTR;
    if (!may_have_changed || tries == most_tries) throw_refused(refusal);
  }
}

}  // namespace ipmasq::netfilter
