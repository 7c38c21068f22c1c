// Reads. The table is asked for by its name; its rules and sets are dumped by the kernel table by table; its
// chains are asked for one by one, since the kernel dumps chains of all tables only, and a rule is how a
// chain shows that it is there: what has none shows in the table's count of what it holds.
#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "error/error.hpp"
#include "nat/nftables_stand_in.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_rule.hpp"
#include "netfilter/nftables_table.hpp"
#include "netfilter/nftables_tries.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedChain;
using nat::nftables::ObservedSet;
using nat::nftables::ObservedTable;

const std::string our_table(nat::nftables::table_name);

constexpr auto of_another_kind = "has elements of another kind";

// An end of an interval; of two at one address the closing one comes first.
struct End {
  net::Address address;
  bool opens = true;
  std::string value;

  bool operator<(const End& other) const {
    return address != other.address ? address < other.address : !opens && other.opens;
  }
};

std::set<std::string> chain_names(NetfilterSocket& socket) {
  std::set<std::string> names;
  const auto request = nftables_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_INET);
  const auto visit = [&names](const nlmsghdr& answer) {
    const Attributes attributes(answer);
    if (attributes.text(NFTA_CHAIN_TABLE) == our_table) names.insert(attributes.text(NFTA_CHAIN_NAME));
    return true;
  };
  socket.ask(request.get(), visit, [&names] { names.clear(); });
  return names;
}

class TableReader {
 public:
  /// `only`: of single addresses these alone; null: all.
  explicit TableReader(const std::set<net::Address>* only) : only_(only) {}

  NftablesSnapshot read() {
    const auto generation = read_generation();
    return {generation, read_table()};
  }

  std::uint32_t read_generation() {
    std::uint32_t generation = 0;
    const auto request = nftables_message(NFT_MSG_GETGEN, 0, NFPROTO_UNSPEC);
    socket_.ask(request.get(), [&generation](const nlmsghdr& answer) {
      generation = Attributes(answer).number(NFTA_GEN_ID);
      return true;
    });
    return generation;
  }

 private:
  ObservedTable read_table() {
    table_ = {};
    std::uint32_t held = 0;
    std::uint32_t flags = 0;
    const auto table = nftables_message(NFT_MSG_GETTABLE, 0, NFPROTO_INET);
    nla_put_string(table.get(), NFTA_TABLE_NAME, our_table.c_str());
    table_.exists = socket_.ask(table.get(), [&](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      held = attributes.number(NFTA_TABLE_USE);
      flags = attributes.number(NFTA_TABLE_FLAGS);
      return true;
    });
    if (!table_.exists) return {};
    table_.is_dormant = (flags & NFT_TABLE_F_DORMANT) != 0;
    if (flags != 0) table_.trouble = "is dormant, or somebody's own";

    read_rules();
    read_sets();
    read_chain(std::string(nat::nftables::base_chain));
    if (held != table_.chains.size() + table_.sets.size()) read_empty_chains();
    if (held != table_.chains.size() + table_.sets.size()) table_.trouble = "holds more than chains and sets";
    return std::move(table_);
  }

  static Message about_our_table(int type, int flags, int attribute) {
    auto message = nftables_message(type, flags, NFPROTO_INET);
    nla_put_string(message.get(), attribute, our_table.c_str());
    return message;
  }

  void read_rules() {
    const auto request = about_our_table(NFT_MSG_GETRULE, NLM_F_DUMP, NFTA_RULE_TABLE);
    const auto visit = [this](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      if (attributes.text(NFTA_RULE_TABLE) != our_table) return true;
      auto rule = read_expressions(attributes[NFTA_RULE_EXPRESSIONS]);
      rule.handle = attributes.long_number(NFTA_RULE_HANDLE);
      table_.chains[attributes.text(NFTA_RULE_CHAIN)].rules.push_back(std::move(rule));
      return true;
    };
    socket_.ask(request.get(), visit, [this] { table_.chains.clear(); });
    for (auto& [name, chain] : table_.chains) read_chain(name);
  }

  void read_chain(const std::string& name) {
    const auto request = about_our_table(NFT_MSG_GETCHAIN, 0, NFTA_CHAIN_TABLE);
    nla_put_string(request.get(), NFTA_CHAIN_NAME, name.c_str());
    socket_.ask(request.get(), [&](const nlmsghdr& answer) {
      describe(Attributes(answer), base_chain_of(name), table_.chains[name]);
      return true;
    });
  }

  static void describe(const Attributes& attributes, const BaseChain& expected, ObservedChain& chain) {
    chain.is_base = attributes[NFTA_CHAIN_HOOK] != nullptr;
    if (!chain.is_base) return;
    const Attributes hook(attributes[NFTA_CHAIN_HOOK]);
    const bool is_ours = attributes.text(NFTA_CHAIN_TYPE) == expected.type &&
                         attributes.number(NFTA_CHAIN_POLICY) == NF_ACCEPT &&
                         hook.number(NFTA_HOOK_HOOKNUM) == expected.hook &&
                         static_cast<std::int32_t>(hook.number(NFTA_HOOK_PRIORITY)) == expected.priority;
    if (!is_ours) chain.trouble = "has another type, hook, priority or policy";
  }

  void read_empty_chains() {
    for (const auto& name : chain_names(socket_)) {
      if (!table_.chains.contains(name)) read_chain(name);
    }
  }

  void read_sets() {
    const auto request = about_our_table(NFT_MSG_GETSET, NLM_F_DUMP, NFTA_SET_TABLE);
    const auto visit = [this](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      if (attributes.text(NFTA_SET_TABLE) == our_table) {
        table_.sets[attributes.text(NFTA_SET_NAME)] = set_of(attributes);
      }
      return true;
    };
    socket_.ask(request.get(), visit, [this] { table_.sets.clear(); });
    for (auto& [name, set] : table_.sets) {
      if (!set.trouble.empty()) continue;
      only_ == nullptr || has_ranges(set.set.kind) ? read_elements(name, set) : read_some(name, set);
    }
    if (only_ != nullptr) add_stand_ins(table_);
  }

  // By what nftables_commit.cpp writes; nft, restoring a listing, marks pairs as a concatenation as well.
  static ObservedSet set_of(const Attributes& attributes) {
    ObservedSet observed;
    const auto type = attributes.number(NFTA_SET_KEY_TYPE);
    const auto flags = attributes.number(NFTA_SET_FLAGS) & ~std::uint32_t{NFT_SET_CONCAT};
    for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
      for (const auto kind : all_set_kinds) {
        if (type != key_type(family, kind) || flags != flags_of(kind) ||
            attributes.number(NFTA_SET_KEY_LEN) != key_length(family, kind) ||
            (is_map(kind) && attributes.number(NFTA_SET_DATA_TYPE) != NFT_DATA_VERDICT))
          continue;
        observed.set = {.family = family, .kind = kind};
        return observed;
      }
    }
    observed.trouble = "is of another type";
    return observed;
  }

  static Message about_elements(int flags, const std::string& set) {
    auto message = about_our_table(NFT_MSG_GETSETELEM, flags, NFTA_SET_ELEM_LIST_TABLE);
    nla_put_string(message.get(), NFTA_SET_ELEM_LIST_SET, set.c_str());
    return message;
  }

  static void read_ends(const nlmsghdr& answer, ObservedSet& observed, std::vector<End>& ends) {
    for_each(Attributes(answer)[NFTA_SET_ELEM_LIST_ELEMENTS], [&](const nlattr* item) {
      const auto end = end_of(Attributes(item), observed.set);
      end ? ends.push_back(*end) : void(observed.trouble = of_another_kind);
    });
  }

  void read_elements(const std::string& name, ObservedSet& observed) {
    std::vector<End> ends;
    const auto visit = [&](const nlmsghdr& answer) {
      read_ends(answer, observed, ends);
      return true;
    };
    socket_.ask(about_elements(NLM_F_DUMP, name).get(), visit, [&] {
      ends.clear();
      observed.trouble.clear();
    });
    std::ranges::sort(ends, std::less{});
    if (has_ranges(observed.set.kind)) {
      join(ends, observed.set);
    } else {
      put_in(std::move(ends), observed.set);
    }
  }

  static void put_in(std::vector<End> ends, nat::nftables::Set& set) {
    for (auto& end : ends) set.elements.push_back({{end.address, end.address}, std::move(end.value)});
  }

  void read_some(const std::string& name, ObservedSet& observed) {
    std::vector<End> ends;
    for (const auto& address : *only_) {
      if (address.family == observed.set.family) read_element(name, address, observed, ends);
    }
    put_in(std::move(ends), observed.set);
    observed.has_more = has_others(name, observed);
    if (has_catch_all(name)) observed.trouble = of_another_kind;
  }

  // An element for whatever has none of its own. Kernels before 5.13 have none, and say that a key is
  // missing.
  bool has_catch_all(const std::string& name) {
    const auto request = about_elements(0, name);
    auto* const list = nla_nest_start(request.get(), NFTA_SET_ELEM_LIST_ELEMENTS);
    auto* const element = nla_nest_start(request.get(), NFTA_LIST_ELEM);
    nla_put_u32(request.get(), NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_CATCHALL));
    for (auto* const nest : {element, list}) nla_nest_end(request.get(), nest);
    try {
      return socket_.ask(request.get(), [](const nlmsghdr&) { return true; });
    } catch (const Error& error) {
      if (error.kind() != Kind::absent) throw;
      return false;
    }
  }

  void read_element(const std::string& name, const net::Address& address, ObservedSet& observed,
                    std::vector<End>& ends) {
    const auto request = about_elements(0, name);
    const auto key = key_of(address, observed.set.kind);
    auto* const list = nla_nest_start(request.get(), NFTA_SET_ELEM_LIST_ELEMENTS);
    auto* const element = nla_nest_start(request.get(), NFTA_LIST_ELEM);
    auto* const value = nla_nest_start(request.get(), NFTA_SET_ELEM_KEY);
    nla_put(request.get(), NFTA_DATA_VALUE, static_cast<int>(key.size()), key.data());
    for (auto* const nest : {value, element, list}) nla_nest_end(request.get(), nest);
    socket_.ask(request.get(), [&](const nlmsghdr& answer) {
      read_ends(answer, observed, ends);
      return true;
    });
  }

  // By the first that the kernel tells of: a socket of its own, since the rest is not heard.
  bool has_others(const std::string& name, ObservedSet& observed) const {
    bool has_others = false;
    const auto visit = [&](const nlmsghdr& answer) {
      std::vector<End> ends;
      read_ends(answer, observed, ends);
      has_others =
          std::ranges::any_of(ends, [this](const End& end) { return !only_->contains(end.address); });
      return !has_others;
    };
    NetfilterSocket().ask(about_elements(NLM_F_DUMP, name).get(), visit);
    return has_others;
  }

  static std::optional<End> end_of(const Attributes& element, const nat::nftables::Set& set) {
    const auto key = Attributes(element[NFTA_SET_ELEM_KEY]).bytes(NFTA_DATA_VALUE);
    if (key.size() != key_length(set.family, set.kind)) return std::nullopt;
    const auto address = key.first(bytes_of(set.family));
    if (!std::ranges::equal(address, key.last(address.size()))) return std::nullopt;  // a pair of two
    End end{{set.family, {}}, (element.number(NFTA_SET_ELEM_FLAGS) & NFT_SET_ELEM_INTERVAL_END) == 0, ""};
    std::ranges::copy(address, end.address.bytes.begin());
    if (!is_map(set.kind) || !end.opens) return end;
    const Attributes data(element[NFTA_SET_ELEM_DATA]);
    const Attributes verdict(data[NFTA_DATA_VERDICT]);
    const bool is_goto = static_cast<std::int32_t>(verdict.number(NFTA_VERDICT_CODE)) == NFT_GOTO;
    end.value = is_goto ? verdict.text(NFTA_VERDICT_CHAIN) : "(another verdict)";
    return end;
  }

  // Each end that opens lasts to the next one, or for ever.
  static void join(const std::vector<End>& ends, nat::nftables::Set& set) {
    for (auto end = ends.begin(); end != ends.end(); ++end) {
      if (!end->opens) continue;
      net::Range range{end->address, {set.family, {}}};
      const auto after = std::next(end);
      if (after == ends.end()) {
        std::fill_n(range.last.bytes.begin(), bytes_of(set.family), std::uint8_t{0xff});
      } else {
        range.last = net::previous(after->address).value_or(end->address);
      }
      set.elements.push_back({range, end->value});
    }
  }

  const std::set<net::Address>* only_;
  NetfilterSocket socket_;
  ObservedTable table_;
};

template <typename Answer, typename Read>
Answer or_none_without_nftables(Read read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
    return {};
  }
}

NftablesSnapshot read_snapshot(const std::set<net::Address>* only) {
  return or_none_without_nftables<NftablesSnapshot>([only] { return TableReader(only).read(); });
}

ObservedTable read_table(const std::set<net::Address>* only) {
  return or_none_without_nftables<ObservedTable>([only] {
    const Tries tries;
    TableReader reader(only);
    for (;;) {
      auto snapshot = reader.read();
      if (reader.read_generation() == snapshot.generation) return std::move(snapshot.table);
      tries.again("read");
    }
  });
}

}  // namespace

NftablesSnapshot read_nftables_snapshot() {
  return read_snapshot(nullptr);
}

NftablesSnapshot read_nftables_snapshot(const std::set<net::Address>& addresses) {
  return read_snapshot(&addresses);
}

ObservedTable read_nftables_table() {
  return read_table(nullptr);
}

ObservedTable read_nftables_table(const std::set<net::Address>& addresses) {
  return read_table(&addresses);
}

bool has_nftables_table() {
  return or_none_without_nftables<bool>([] {
    NetfilterSocket socket;
    const auto request = nftables_message(NFT_MSG_GETTABLE, 0, NFPROTO_INET);
    nla_put_string(request.get(), NFTA_TABLE_NAME, our_table.c_str());
    return socket.ask(request.get(), [](const nlmsghdr&) { return true; });
  });
}

std::set<std::string> nftables_chains() {
  return or_none_without_nftables<std::set<std::string>>([] {
    NetfilterSocket socket;
    return chain_names(socket);
  });
}

}  // namespace ipmasq::netfilter
