#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "error/error.hpp"
#include "nat/nftables_stand_in.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_refusal.hpp"
#include "netfilter/nftables_rule.hpp"
#include "netfilter/nftables_table.hpp"
#include "netfilter/nftables_tries.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::Interval;
using nat::nftables::Edit;
using nat::nftables::SetKind;
using nat::nftables::Table;

constexpr std::size_t largest_rule = std::size_t{4} << 10U;
// An element takes up to 500 bytes (two ends, a chain's name), and an attribute holds less than 64 KiB.
constexpr std::size_t most_elements = 64;
constexpr std::size_t largest_end =
    80;  // of an element, without a chain's name: attributes and a pair of keys

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

// Turns edits of a table into the messages of a batch.
class BatchWriter {
 public:
  BatchWriter(std::string table, const std::vector<Edit>& edits) : table_(std::move(table)) {
    for (const auto& edit : edits) {
      std::visit(*this, edit);
      edits_.resize(messages_.size(), &edit);
    }
  }

  const std::vector<Message>& messages() const { return messages_; }
  /// That a message carries out, or a part of it.
  const Edit& edit_of(std::size_t message) const { return *edits_.at(message); }

  void operator()(const nat::nftables::AddTable& /*edit*/) {
    put_text(add(NFT_MSG_NEWTABLE, NLM_F_CREATE), NFTA_TABLE_NAME, table_);
  }
  void operator()(const nat::nftables::DeleteTable& /*edit*/) {
    put_text(add(NFT_MSG_DELTABLE, 0), NFTA_TABLE_NAME, table_);
  }
  void operator()(const nat::nftables::AddChain& edit) {
    const auto& message = add(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    put_text(message, NFTA_CHAIN_TABLE, table_);
    put_text(message, NFTA_CHAIN_NAME, edit.chain);
    if (!edit.is_base) return;
    const auto base = base_chain_of(edit.chain);
    put_nest(message, NFTA_CHAIN_HOOK, [&] {
      put_number(message, NFTA_HOOK_HOOKNUM, base.hook);
      put_number(message, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(base.priority));
    });
    put_number(message, NFTA_CHAIN_POLICY, NF_ACCEPT);
    put_text(message, NFTA_CHAIN_TYPE, base.type);
  }
  void operator()(const nat::nftables::DeleteChain& edit) {
    const auto& message = add(NFT_MSG_DELCHAIN, 0);
    put_text(message, NFTA_CHAIN_TABLE, table_);
    put_text(message, NFTA_CHAIN_NAME, edit.chain);
  }
  void operator()(const nat::nftables::AddSet& edit) {
    const auto& message = add(NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
    put_text(message, NFTA_SET_TABLE, table_);
    put_text(message, NFTA_SET_NAME, edit.set);
    put_number(message, NFTA_SET_FLAGS, flags_of(edit.kind));
    put_number(message, NFTA_SET_KEY_TYPE, key_type(edit.family, edit.kind));
    put_number(message, NFTA_SET_KEY_LEN, key_length(edit.family, edit.kind));
    put_number(message, NFTA_SET_ID, ++sets_);
    if (is_map(edit.kind)) put_number(message, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
  }
  void operator()(const nat::nftables::DeleteSet& edit) {
    const auto& message = add(NFT_MSG_DELSET, 0);
    put_text(message, NFTA_SET_TABLE, table_);
    put_text(message, NFTA_SET_NAME, edit.set);
  }
  void operator()(const nat::nftables::AddElements& edit) {
    put_elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, edit.set, edit.kind, edit.elements);
  }
  void operator()(const nat::nftables::DeleteElements& edit) {
    put_elements(NFT_MSG_DELSETELEM, 0, edit.set, edit.kind, edit.elements);
  }
  void operator()(const nat::nftables::InsertRule& edit) {
    const auto& message =
        add(NFT_MSG_NEWRULE, edit.before ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND, largest_rule);
    put_text(message, NFTA_RULE_TABLE, table_);
    put_text(message, NFTA_RULE_CHAIN, edit.chain);
    if (edit.before) nla_put_u64(message.get(), NFTA_RULE_POSITION, htobe64(*edit.before));
    put_expressions(message.get(), edit.rule);
  }
  void operator()(const nat::nftables::DeleteRule& edit) {
    const auto& message = add(NFT_MSG_DELRULE, 0);
    put_text(message, NFTA_RULE_TABLE, table_);
    put_text(message, NFTA_RULE_CHAIN, edit.chain);
    nla_put_u64(message.get(), NFTA_RULE_HANDLE, htobe64(edit.handle));
  }

 private:
  const Message& add(int type, int flags, std::size_t size = 1024) {
    return messages_.emplace_back(nftables_message(type, flags, NFPROTO_INET, size));
  }

  void put_elements(int type, int flags, const std::string& set, SetKind kind,
                    const std::vector<Interval<std::string>>& elements) {
    for (auto rest = std::span(elements); !rest.empty();) {
      const auto part = rest.first(std::min(most_elements, rest.size()));
      rest = rest.subspan(part.size());
      std::size_t size = 1024;
      for (const auto& element : part) size += 2 * largest_end + element.value.size();
      const auto& message = add(type, flags, size);
      put_text(message, NFTA_SET_ELEM_LIST_TABLE, table_);
      put_text(message, NFTA_SET_ELEM_LIST_SET, set);
      put_nest(message, NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
        for (const auto& element : part) put_element(message, kind, element);
      });
    }
  }

  // An interval is the element that opens it and, short of the last address, the one behind it that closes
  // it.
  static void put_element(const Message& message, SetKind kind, const Interval<std::string>& element) {
    put_key(message, kind, element.range.first, 0, element.value);
    const auto behind = has_ranges(kind) ? net::next(element.range.last) : std::nullopt;
    if (behind) put_key(message, kind, *behind, NFT_SET_ELEM_INTERVAL_END, "");
  }

  static void put_key(const Message& message, SetKind kind, const net::Address& address, std::uint32_t flags,
                      const std::string& chain) {
    const auto key = key_of(address, kind);
    put_nest(message, NFTA_LIST_ELEM, [&] {
      put_nest(message, NFTA_SET_ELEM_KEY,
               [&] { nla_put(message.get(), NFTA_DATA_VALUE, static_cast<int>(key.size()), key.data()); });
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

  std::string table_;
  std::vector<Message> messages_;
  std::vector<const Edit*> edits_;  // of each message
  std::uint32_t sets_ = 0;
};

[[noreturn]] void throw_refusal(const BatchAnswer& answer, const BatchWriter& batch) {
  const auto refused = answer.message.value_or(batch.messages().size());
  if (refused >= batch.messages().size()) throw refusal_of(answer, nullptr, nullptr);
  throw refusal_of(answer, &batch.edit_of(refused), batch.messages()[refused].get());
}

// Somebody committed since the table was read.
bool is_outrun(const BatchAnswer& answer) {
  return answer.number == ERESTART && !answer.message;
}

// The table of a batch that is checked and never committed: under a name of this process it has nothing to do
// with ours, or anybody's.
std::string trial_table() {
  return "ip-masq-trial-" + std::to_string(::getpid());
}

// A change that was sent and never answered.
class Unanswered {
 public:
  void add(NftablesChange change, int number) {
    if (++times_ == most_times) throw Error(Kind::failed, std::string(text) + " (" + text_of(number) + ")");
    if (!first_) first_ = std::move(change);
  }

  NftablesSnapshot read(const std::set<net::Address>* only) const {
    try {
      return only == nullptr ? read_nftables_snapshot() : read_nftables_snapshot(*only);
    } catch (const Error& error) {
      if (!first_) throw;
      throw Error(Kind::failed, std::string(text) + ": " + error.what(), error.details());
    }
  }

  /// It was carried out where nothing is left to do.
  NftablesChange or_nothing(nat::nftables::ObservedTable&& table) {
    return first_ ? std::move(*first_) : NftablesChange{std::move(table), {}};
  }

 private:
  static constexpr int most_times = 3;
  static constexpr const char* text =
      "whether table inet ip-masq was changed is not known: the kernel's answer was lost";

  int times_ = 0;
  std::optional<NftablesChange> first_;
};

// Of a table of which `only` these addresses were read nothing but their elements is changed.
std::optional<NftablesChange> change(const NftablesTargetFor& target_for,
                                     const std::set<net::Address>* only) {
  const Tries tries;
  Unanswered unanswered;
  for (;;) {
    auto [generation, table] = unanswered.read(only);
    auto edits = nat::nftables::difference(table, target_for(table));
    if (edits.empty()) return unanswered.or_nothing(std::move(table));
    if (only != nullptr && !are_about(edits, *only)) return std::nullopt;
    const BatchWriter batch(std::string(nat::nftables::table_name), edits);
    const auto answer = NetfilterSocket().send_batch(batch.messages(), generation, Commit::yes);
    if (answer.lost != 0) {
      unanswered.add({std::move(table), std::move(edits)}, answer.lost);
    } else if (answer.number == 0) {
      return NftablesChange{std::move(table), std::move(edits)};
    } else if (!is_outrun(answer)) {
      throw_refusal(answer, batch);
    }
    tries.again("changed");
  }
}

}  // namespace

NftablesChange change_nftables_table(const NftablesTargetFor& target_for) {
  return change(target_for, nullptr).value();
}

std::optional<NftablesChange> change_nftables_elements(const std::set<net::Address>& addresses,
                                                       const NftablesTargetFor& target_for) {
  return change(target_for, &addresses);
}

void check_nftables_table(const Table& table) {
  const auto edits = nat::nftables::difference({}, table);
  if (edits.empty()) return;
  const BatchWriter batch(trial_table(), edits);
  const auto answer = NetfilterSocket().send_batch(batch.messages(), std::nullopt, Commit::no);
  if (answer.lost != 0) {
    throw Error(Kind::failed,
                "whether the kernel takes table inet ip-masq is not known: its answer was lost (" +
                    text_of(answer.lost) + ")");
  }
  if (answer.number != 0) throw_refusal(answer, batch);
}

}  // namespace ipmasq::netfilter
