#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>

#include "error/error.hpp"
#include "nat/nftables_drops.hpp"
#include "nat/nftables_rules.hpp"
#include "netfilter/foreign_nftables_rule.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "os/file.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignElement;
using nat::ForeignRule;
using nat::Hook;

struct TableFamily {
  int number;  // NFPROTO_*
  const char* name;
};
constexpr std::array<TableFamily, 5> table_families{{{NFPROTO_IPV4, "ip"},
                                                     {NFPROTO_IPV6, "ip6"},
                                                     {NFPROTO_INET, "inet"},
                                                     {NFPROTO_BRIDGE, "bridge"},
                                                     {NFPROTO_NETDEV, "netdev"}}};

// Empty for families that no IP packet is of (arp).
std::string family_of(const nlmsghdr& message) {
  const int number = static_cast<const nfgenmsg*>(nlmsg_data(&message))->nfgen_family;
  const auto* const found = std::ranges::find(table_families, number, &TableFamily::number);
  return found == table_families.end() ? "" : found->name;
}

int number_of(const std::string& family) {
  return std::ranges::find(table_families, family, &TableFamily::name)->number;
}

bool is_our_table(const std::string& family, const std::string& table) {
  return family == "inet" && table == nat::nftables::table_name;
}

// Somebody may have chains of their own in our table.
bool is_ours(const std::string& family, const std::string& table, const std::string& chain) {
  return is_our_table(family, table) &&
         (chain == nat::nftables::base_chain || chain == nat::nftables::forward_chain ||
          nat::nftables::network_of_chain(chain) || nat::nftables::whose_drop_chain(chain));
}

// nft's own comment: type 0, length, text (libnftnl: udata.h).
std::string comment_in(std::span<const std::uint8_t> userdata) {
  if (userdata.size() < 2 || userdata[0] != 0) return "";
  const auto text = userdata.subspan(2, std::min<std::size_t>(userdata[1], userdata.size() - 2));
  return {text.begin(), std::ranges::find(text, std::uint8_t{0})};
}

// Where forwarded packets meet a base chain; nothing where they do not.
std::optional<Hook> hook_of(const std::string& family, std::uint32_t number) {
  if (family == "netdev") return number == NF_NETDEV_INGRESS ? Hook::ingress : Hook::egress;
  // A packet for the bridge's own address comes in by the first two, and leaves by the last two.
  if (family == "bridge") {
    if (number == NF_INET_FORWARD) return std::nullopt;  // from port to port
    return number == NF_INET_PRE_ROUTING || number == NF_INET_LOCAL_IN ? Hook::ingress : Hook::egress;
  }
  switch (number) {
    case NF_INET_INGRESS:
      return Hook::ingress;
    case NF_INET_PRE_ROUTING:
      return Hook::prerouting;
    case NF_INET_FORWARD:
      return Hook::forward;
    case NF_INET_POST_ROUTING:
      return Hook::postrouting;
    default:
      return std::nullopt;
  }
}

// What a chain of ingress or egress is bound to.
std::vector<std::string> devices_in(const Attributes& hook) {
  std::vector<std::string> devices;
  if (hook[NFTA_HOOK_DEV] != nullptr) devices.push_back(hook.text(NFTA_HOOK_DEV));
  if (hook[NFTA_HOOK_DEVS] == nullptr) return devices;
  for_each(hook[NFTA_HOOK_DEVS], [&devices](const nlattr* item) {
    const auto* const name = static_cast<const char*>(nla_data(item));
    const std::string device(name, ::strnlen(name, static_cast<std::size_t>(nla_len(item))));
    devices.push_back(nla_type(item) == NFTA_DEVICE_NAME ? device : device + "+");
  });
  return devices;
}

std::optional<nat::ForeignChain> base_chain_in(const nlmsghdr& answer) {
  const Attributes attributes(answer);
  const auto family = family_of(answer);
  auto table = attributes.text(NFTA_CHAIN_TABLE);
  auto chain = attributes.text(NFTA_CHAIN_NAME);
  if (attributes[NFTA_CHAIN_HOOK] == nullptr || family.empty() || is_ours(family, table, chain))
    return std::nullopt;
  const Attributes hook(attributes[NFTA_CHAIN_HOOK]);
  const auto met = hook_of(family, hook.number(NFTA_HOOK_HOOKNUM));
  if (!met) return std::nullopt;
  return nat::ForeignChain{
      family,
      std::move(table),
      std::move(chain),
      static_cast<std::int32_t>(hook.number(NFTA_HOOK_PRIORITY)),
      *met,
      attributes.text(NFTA_CHAIN_TYPE) == "nat",
      "nft",
      devices_in(hook),
      attributes.number(NFTA_CHAIN_POLICY) == NF_DROP && attributes[NFTA_CHAIN_POLICY] != nullptr};
}

using TableName = std::pair<std::string, std::string>;  // family, table

TableName table_of(const nlmsghdr& answer, int attribute) {
  return {family_of(answer), Attributes(answer).text(attribute)};
}

// One look, by one socket; nothing where the kernel has no nftables. What is switched off (a dormant table)
// is not there.
class Reader {
 public:
  explicit Reader(nat::Foreign& foreign) : foreign_(foreign) {}

  void read() {
    read_tables();
    read_kinds_of_sets();
    read_rules();
    read_chains();
    read_sets();
  }

 private:
  void read_tables() {
    const auto request = nftables_message(NFT_MSG_GETTABLE, NLM_F_DUMP, NFPROTO_UNSPEC);
    const auto visit = [this](const nlmsghdr& answer) {
      if ((Attributes(answer).number(NFTA_TABLE_FLAGS) & NFT_TABLE_F_DORMANT) != 0)
        dormant_.insert(table_of(answer, NFTA_TABLE_NAME));
      return true;
    };
    socket_.ask(request.get(), visit, [this] { dormant_.clear(); });
  }

  using Name = std::tuple<std::string, std::string, std::string>;  // family, table, set

  struct KindOfSet {
    std::size_t key_bytes = 0;
    bool has_intervals = false;
  };

  void read_kinds_of_sets() {
    const auto request = nftables_message(NFT_MSG_GETSET, NLM_F_DUMP, NFPROTO_UNSPEC);
    const auto visit = [this](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      kinds_[{family_of(answer), attributes.text(NFTA_SET_TABLE), attributes.text(NFTA_SET_NAME)}] = {
          attributes.number(NFTA_SET_KEY_LEN), (attributes.number(NFTA_SET_FLAGS) & NFT_SET_INTERVAL) != 0};
      return true;
    };
    socket_.ask(request.get(), visit, [this] { kinds_.clear(); });
  }

  void read_rules() {
    const auto first = foreign_.rules.size();
    const auto request = nftables_message(NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_UNSPEC);
    const auto visit = [this](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      const auto family = family_of(answer);
      const auto table = attributes.text(NFTA_RULE_TABLE);
      auto chain = attributes.text(NFTA_RULE_CHAIN);
      if (family.empty() || dormant_.contains({family, table})) return true;
      const bool is_of_ours = is_ours(family, table, chain);
      ForeignRule rule{.program = "nft",
                       .family = family,
                       .table = table,
                       .chain = std::move(chain),
                       .handle = attributes.long_number(NFTA_RULE_HANDLE),
                       .comment = comment_in(attributes.bytes(NFTA_RULE_USERDATA))};
      const auto key_bytes = [&](const std::string& set) {
        const auto kind = kinds_.find({family, table, set});
        return kind == kinds_.end() ? 0 : kind->second.key_bytes;
      };
      auto parts = foreign_parts(attributes[NFTA_RULE_EXPRESSIONS], std::move(rule), key_bytes);
      if (!is_of_ours) {
        std::ranges::move(parts, std::back_inserter(foreign_.rules));
      } else if (parts.front().yields()) {
        foreign_.yield_marks.nftables.push_back(parts.front().mark->value);
      }
      return true;
    };
    socket_.ask(request.get(), visit, [this, first] {
      foreign_.rules.resize(first);
      foreign_.yield_marks.nftables.clear();
    });
  }

  void read_chains() {
    const auto first = foreign_.chains.size();
    const auto request = nftables_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC);
    const auto visit = [this](const nlmsghdr& answer) {
      if (dormant_.contains(table_of(answer, NFTA_CHAIN_TABLE))) return true;
      if (auto chain = base_chain_in(answer)) foreign_.chains.push_back(std::move(*chain));
      return true;
    };
    socket_.ask(request.get(), visit, [this, first] { foreign_.chains.resize(first); });
  }

  // Those whose elements decide where a packet goes, or whether an address is meant.
  void read_sets() {
    std::set<Name> wanted;
    for (const auto& rule : foreign_.rules) {
      if (rule.program != "nft") continue;
      for (const auto& lookup : rule.lookups) {
        if (lookup.is_told()) wanted.emplace(rule.family, rule.table, lookup.set);
      }
      if (rule.verdicts) wanted.emplace(rule.family, rule.table, rule.verdicts->set);
      if (rule.mark_map) wanted.emplace(rule.family, rule.table, rule.mark_map->set);
    }
    for (const auto& name : wanted) read_set(name, kinds_[name].has_intervals);
  }

  void read_set(const Name& set, bool has_intervals) {
    const auto& [family, table, name] = set;
    std::vector<Element> elements;
    const auto request = nftables_message(NFT_MSG_GETSETELEM, NLM_F_DUMP, number_of(family));
    nla_put_string(request.get(), NFTA_SET_ELEM_LIST_TABLE, table.c_str());
    nla_put_string(request.get(), NFTA_SET_ELEM_LIST_SET, name.c_str());
    const auto visit = [&elements](const nlmsghdr& answer) {
      for_each(Attributes(answer)[NFTA_SET_ELEM_LIST_ELEMENTS],
               [&](const nlattr* item) { elements.push_back(element_in(Attributes(item))); });
      return true;
    };
    if (!socket_.ask(request.get(), visit, [&elements] { elements.clear(); })) return;
    foreign_.sets.push_back({family, table, name, joined(std::move(elements), has_intervals)});
  }

  struct Element {
    ForeignElement element;
    bool ends = false;  // the interval before it: exclusive
    bool has_end = false;
    bool is_catch_all = false;

    bool operator<(const Element& other) const {
      return element.first != other.element.first ? element.first < other.element.first : ends && !other.ends;
    }
  };

  static std::string key_in(const nlattr* key) {
    const auto bytes = Attributes(key).bytes(NFTA_DATA_VALUE);
    return {bytes.begin(), bytes.end()};
  }

  static Element element_in(const Attributes& attributes) {
    const auto flags = attributes.number(NFTA_SET_ELEM_FLAGS);
    Element element;
    element.ends = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
    element.is_catch_all = (flags & NFT_SET_ELEM_CATCHALL) != 0;
    element.element.first = key_in(attributes[NFTA_SET_ELEM_KEY]);
    element.has_end = attributes[NFTA_SET_ELEM_KEY_END] != nullptr;
    element.element.last =
        element.has_end ? key_in(attributes[NFTA_SET_ELEM_KEY_END]) : element.element.first;
    const Attributes data(attributes[NFTA_SET_ELEM_DATA]);
    const auto value = data.bytes(NFTA_DATA_VALUE);
    std::uint32_t number = 0;
    if (value.size() == sizeof number) {
      std::memcpy(&number, value.data(), sizeof number);
      element.element.number = number;
    }
    if (data[NFTA_DATA_VERDICT] != nullptr) {
      const auto verdict = foreign_verdict(data[NFTA_DATA_VERDICT]);
      element.element.target = verdict.target;
      element.element.is_jump = verdict.is_jump;
      element.element.is_goto = verdict.is_goto;
    }
    return element;
  }

  // Of intervals that are told by where they begin and end: the elements between.
  static std::vector<ForeignElement> joined(std::vector<Element> elements, bool are_intervals) {
    if (are_intervals) std::ranges::sort(elements, std::less{});
    std::vector<ForeignElement> joined;
    for (auto each = elements.begin(); each != elements.end(); ++each) {
      if (each->ends) continue;
      auto element = std::move(each->element);
      if (are_intervals && !each->has_end && !each->is_catch_all) {
        const auto next = std::next(each);
        element.last =
            next == elements.end() ? std::string(element.first.size(), '\xff') : before(next->element.first);
      }
      joined.push_back(std::move(element));
    }
    return joined;
  }

  // The key before; of none of its bytes is anything taken.
  static std::string before(std::string key) {
    for (auto byte = key.rbegin(); byte != key.rend(); ++byte) {
      if (*byte != '\0') {
        *byte = static_cast<char>(static_cast<unsigned char>(*byte) - 1);
        return key;
      }
      *byte = '\xff';
    }
    return key;
  }

  nat::Foreign& foreign_;
  NetfilterSocket socket_;
  std::set<TableName> dormant_;
  std::map<Name, KindOfSet> kinds_;
};

// A line for each, which begins with its number (net/netfilter/nfnetlink_queue.c: seq_show); no file where
// the module is not there, without which nobody reads any.
std::set<std::uint16_t> read_queues() {
  std::set<std::uint16_t> found;
  std::istringstream lines(os::read_file("/proc/net/netfilter/nfnetlink_queue").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::uint16_t number = 0;
    if (words >> number) found.insert(number);
  }
  return found;
}

}  // namespace

void append_foreign_nftables(nat::Foreign& foreign) {
  try {
    Reader(foreign).read();
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
  }
}

nat::Foreign foreign_rules() {
  nat::Foreign foreign;
  append_foreign_nftables(foreign);
  append_foreign_iptables(foreign);
  if (std::ranges::any_of(foreign.rules,
                          [](const nat::ForeignRule& rule) { return rule.queues.has_value(); }))
    foreign.read_queues = read_queues();
  return foreign;
}

std::vector<nat::ForeignChain> foreign_nat_chains(std::size_t most) {
  std::vector<nat::ForeignChain> chains;
  const auto visit = [&](const nlmsghdr& answer) {
    auto chain = base_chain_in(answer);
    const bool is_wanted = chain && chain->is_nat && chain->hook == Hook::postrouting;
    if (is_wanted && !is_our_table(chain->family, chain->table)) chains.push_back(std::move(*chain));
    return chains.size() < most;
  };
  const auto request = nftables_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC);
  try {
    NetfilterSocket().ask(request.get(), visit, [&chains] { chains.clear(); });
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
  }
  return chains;
}

}  // namespace ipmasq::netfilter
