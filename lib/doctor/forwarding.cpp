#include "doctor/forwarding.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "doctor/flows.hpp"
#include "nat/drops.hpp"
#include "nat/explain.hpp"
#include "nat/hook_order.hpp"
#include "nat/packet.hpp"
#include "net/prefixes.hpp"

namespace ipmasq::doctor {

namespace {

using nat::ForeignChain;
using nat::Hook;

constexpr std::array<std::uint32_t, 2> protocols{IPPROTO_TCP, IPPROTO_UDP};

// ---- what is asked about

// What the world sees of masqueraded pods that leave by an uplink.
std::vector<net::Prefix> translations(const Facts& facts, const PodWay& way) {
  const auto family = way.pods.front().family();
  std::vector<net::Prefix> addresses;
  const auto add = [&addresses](const net::Address& each) { addresses.push_back(net::host_prefix(each)); };
  for (const auto& [address, interface] : facts.node.interface_of) {
    if (address.family == family && (way.uplink ? interface == *way.uplink : interface != "lo")) add(address);
  }
  for (const auto& chain : facts.ours.wanted.chains) {
    if (chain.family != family) continue;
    const auto add_all = [&addresses](const net::Range& to) {
      std::ranges::copy(net::prefixes_of(to), std::back_inserter(addresses));
    };
    if (!way.uplink) {
      std::ranges::for_each(chain.translation.sources(), add_all);
    } else if (const auto to = chain.translation.source_by(way.uplink)) {
      add_all(*to);
    }
  }
  return addresses;
}

struct Names {
  std::set<net::Prefix> addresses;
  std::set<std::string> interfaces;
};

Names names_of(const nat::Foreign& foreign) {
  return {named_by(foreign), interfaces_named_by(foreign)};
}

// Pods of a way that no rule of others can tell apart, by address or by an interface where there are many.
// None where no rule can tell them from the rest of their subnets.
std::vector<std::vector<PodAt>> told_apart(const PodWay& way, const Names& names) {
  std::vector<net::Prefix> some;
  std::ranges::copy_if(names.addresses, std::back_inserter(some), [&way](const net::Prefix& name) {
    const auto holds = [&name](const net::Prefix& each) { return name.contains(each); };
    const auto lies_in = [&name](const net::Prefix& each) { return each.contains(name); };
    return std::ranges::any_of(way.pods, [&](const auto& each) { return holds(each) || lies_in(each); }) &&
           !std::ranges::all_of(way.pods, holds);
  });
  std::map<std::vector<bool>, std::vector<PodAt>> groups;
  for (const auto& pod : way.attached) {
    std::vector<bool> key;
    key.reserve(some.size() + names.interfaces.size());
    for (const auto& each : some) key.push_back(each.contains(pod.address));
    const bool has_its_own = !way.pod_interface && !pod.interface.empty();
    for (const auto& each : names.interfaces) {
      key.push_back(has_its_own && nat::is_interface_of(each, pod.interface));
    }
    groups[key].push_back(pod);
  }
  const auto names_some = [](const std::vector<bool>& key) { return std::ranges::count(key, true) > 0; };
  const bool are_told =
      !some.empty() || std::ranges::any_of(groups, names_some, &decltype(groups)::value_type::first);
  std::vector<std::vector<PodAt>> found;
  if (!are_told) return found;
  found.reserve(groups.size());
  for (auto& [key, pods] : groups) found.push_back(std::move(pods));
  return found;
}

// Each costs a walk through all rules.
std::size_t most_asked(const nat::Foreign& foreign) {
  constexpr std::size_t least = 128;
  constexpr std::size_t most = 1024;
  constexpr std::size_t most_rules = 2'500'000;
  return std::clamp(most_rules / (foreign.rules.size() + 1), least, most);
}

PodWay way_of(const PodAt& pod, const PodWay& way) {
  auto its = way;
  its.pods = {net::host_prefix(pod.address)};
  if (!pod.interface.empty()) its.pod_interface = pod.interface;
  its.attached = {pod};
  return its;
}

// ---- what lets them through

bool is_early(const ForeignChain& base) {
  return base.hook == Hook::ingress ||
         (base.hook == Hook::prerouting && base.priority <= nat::conntrack_priority);
}

// What iptables-nft made, iptables-nft can read again.
bool is_of_iptables(const ForeignChain& base) {
  constexpr std::array<const char*, 3> chains{"PREROUTING", "FORWARD", "POSTROUTING"};
  constexpr std::array<const char*, 4> tables{"raw", "mangle", "filter", "security"};
  if (base.program != "nft") return true;
  return (base.family == "ip" || base.family == "ip6") &&
         std::ranges::find(chains, base.chain) != chains.end() &&
         std::ranges::find(tables, base.table) != tables.end();
}

class Acceptance {
 public:
  Acceptance(const ForeignChain& base, net::Family family)
      : base_(base), is_ipv4_(family == net::Family::ipv4) {}

  std::string of(const net::Prefix& pods, bool is_source) const {
    if (is_of_iptables(base_))
      return iptables() + (is_source ? " -s " : " -d ") + net::to_text(pods) + " -j ACCEPT";
    return nft() + (is_ipv4_ ? " ip " : " ip6 ") + (is_source ? "saddr " : "daddr ") + net::to_text(pods) +
           " accept";
  }

  std::string of_answers() const {
    return is_of_iptables(base_) ? iptables() + " -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
                                 : nft() + " ct state established,related accept";
  }

 private:
  std::string iptables() const {
    const auto program = base_.program != "nft" ? base_.program : is_ipv4_ ? "iptables-nft" : "ip6tables-nft";
    return program + " -t " + nat::shell_word(base_.table) + " -I " + base_.chain;
  }
  std::string nft() const {
    return "nft insert rule " + base_.family + " " + nat::shell_word(base_.table) + " " +
           nat::shell_word(base_.chain);
  }

  const ForeignChain& base_;
  bool is_ipv4_;
};

std::string name_of(const ForeignChain& base) {
  return base.program == "nft" ? "nft chain " + base.family + " " + nat::shell_word(base.table) + " " +
                                     nat::shell_word(base.chain)
                               : base.program + " -t " + base.table + " " + base.chain;
}

bool can_be_named(const ForeignChain& base) {
  return base.program != "nft" || nat::can_be_named_to_nft(base.table, base.chain);
}

std::string what_reads(std::uint16_t queue) {
  return "# start what reads queue " + std::to_string(queue) +
         " again, or have packets pass where nothing does (--queue-bypass, nft's \"bypass\")";
}

std::string removal(const nat::Drop& drop) {
  if (drop.rule) return nat::delete_command(*drop.rule);
  const auto& base = drop.base;
  if (!can_be_named(base)) return nat::by_its_owner(name_of(base));
  if (base.program != "nft") return base.program + " -t " + base.table + " -P " + base.chain + " ACCEPT";
  return name_of(base) + " '{ policy accept; }'";
}

// Where packets have other addresses than the pods', where ARP and neighbour discovery are dropped as well,
// or where NAT would not be asked any more, nothing else than taking it away helps.
std::string fix_of(const nat::Drop& drop, net::Family family, const std::vector<net::Prefix>& pods,
                   bool is_of_translated) {
  const auto& base = drop.base;
  const bool is_of_tracking = drop.rule && (drop.rule->untracks || drop.rule->zone);
  if (is_of_tracking) return removal(drop);
  const bool helps = !is_of_translated || (base.hook == Hook::prerouting && !is_early(base));
  const bool is_of_links = base.family == "netdev" || base.family == "bridge";
  if (base.is_nat || is_of_links || !helps || !can_be_named(base)) return removal(drop);
  const Acceptance acceptance(base, family);
  std::string commands = is_of_translated ? acceptance.of_answers() : "";
  for (const auto& subnet : pods) {
    for (const bool is_source : {true, false})
      commands += (commands.empty() ? "" : " && ") + acceptance.of(subnet, is_source);
  }
  return commands;
}

// ---- all of them

struct Found {
  nat::Drop drop;
  net::Family family = net::Family::ipv4;
  bool is_of_translated = false;           // among others
  std::set<std::uint32_t> protocols = {};  // that it drops as certainly as any
  std::set<net::Prefix> pods = {};         // of these alone
};

// Whether a masqueraded pod's packets have other addresses than the pod's there.
bool has_others_addresses(const ForeignChain& base, const nat::Flow& flow) {
  if (flow.comes_back) {
    return base.hook == Hook::ingress ||
           (base.hook == Hook::prerouting && base.priority <= nat::destination_nat_priority);
  }
  return base.hook == Hook::egress ||
         (base.hook == Hook::postrouting && base.priority > nat::source_nat_priority);
}

class Collection {
 public:
  explicit Collection(const Facts& facts)
      : facts_(facts), names_(names_of(facts.node.foreign)), most_(most_asked(facts.node.foreign)) {}

  void ask_for(const PodWay& way) {
    if (!ask_about(way, {})) return;
    ask_where_it_leads(way, {});
    for (const auto& pods : told_apart(way, names_)) {
      if (asked_++ >= most_) return;
      std::set<net::Prefix> alone;
      for (const auto& each : pods) alone.insert(net::host_prefix(each.address));
      const auto its = way_of(pods.front(), way);
      if (ask_about(its, alone)) ask_where_it_leads(its, alone);
    }
  }

  std::vector<std::string> not_looked() const {
    if (asked_ <= most_) return {};
    return {"rules of others tell more pods apart than are asked about (" + std::to_string(most_) +
            "): who of the rest has packets dropped is not known"};
  }

  std::vector<ForwardDrop> all() const {
    std::vector<ForwardDrop> drops;
    for (const auto& each : found_) {
      auto decides =
          each.drop.rule ? nat::to_text(*each.drop.rule) : name_of(each.drop.base) + ": policy drop";
      if (each.protocols.size() == 1)
        decides += *each.protocols.begin() == IPPROTO_TCP ? " (TCP alone)" : " (UDP alone)";
      const auto pods = each.pods.empty() ? pod_subnets_of(facts_, each.family)
                                          : std::vector(each.pods.begin(), each.pods.end());
      if (!each.pods.empty()) decides += " (" + text_of(pods) + " alone)";
      const auto lost = each.drop.rule ? nat::lost_queue(*each.drop.rule, facts_.node.foreign) : std::nullopt;
      if (lost) decides += " (nothing reads queue " + std::to_string(*lost) + ")";
      drops.push_back(
          {std::move(decides), each.drop.is_certain,
           lost ? what_reads(*lost) : fix_of(each.drop, each.family, pods, each.is_of_translated)});
    }
    return drops;
  }

 private:
  // What is dropped of all destinations but those that rules name.
  void ask_where_it_leads(const PodWay& way, const std::set<net::Prefix>& alone) {
    if (way.destination) return;
    for (const auto& network : way.leads_to) {
      const auto host = host_beside(names_.addresses, network);
      if (!host) continue;
      auto towards = way;
      towards.destination = host;
      const auto fate =
          nat::explain(facts_.ours.wanted,
                       way.attached.empty() ? way.pods.front().address : way.attached.front().address, *host)
              .fate;
      if (fate != nat::Fate::left_alone) towards.fate = fate;
      ask_about(towards, alone, true);
    }
  }

  // Whether any may be dropped. `alone`: pods of which nothing is told but what is certain.
  bool ask_about(const PodWay& way, const std::set<net::Prefix>& alone, bool is_one_of_many = false) {
    const auto translated =
        way.fate == nat::Fate::kept ? std::vector<net::Prefix>() : translations(facts_, way);
    auto sent = flow_on(way, facts_.node.addresses);
    if (is_one_of_many)
      sent.destinations = {net::host_prefix(*std::exchange(sent.destination, std::nullopt))};
    const bool is_for_certain = is_one_of_many || !alone.empty();
    bool is_open = false;
    for (const auto& flow : {sent, nat::answer_to(sent)}) {
      if (way.fate != nat::Fate::masqueraded || translated.empty())
        is_open |= ask(flow, false, alone, is_for_certain);
      if (translated.empty()) continue;
      auto masqueraded = flow;
      masqueraded.translated = translated;
      is_open |= ask(std::move(masqueraded), true, alone, is_for_certain);
    }
    return is_open;
  }

  bool ask(nat::Flow flow, bool is_translated, const std::set<net::Prefix>& alone, bool is_for_certain) {
    bool is_open = false;
    for (const auto protocol : protocols) {
      flow.protocol = protocol;
      for (auto& drop : nat::drops(facts_.node.foreign, flow)) {
        is_open = is_open || !drop.is_certain;
        if (is_for_certain && !drop.is_certain) continue;
        const bool is_of_translated = is_translated && has_others_addresses(drop.base, flow);
        add({std::move(drop), flow.sources.front().family(), is_of_translated, {protocol}, alone});
      }
    }
    return is_open;
  }

  // Once for each family, as certain as it is for any packet.
  void add(Found found) {
    const auto known = std::ranges::find_if(found_, [&found](const Found& each) {
      return each.family == found.family && each.drop.base == found.drop.base &&
             each.drop.rule == found.drop.rule;
    });
    if (known == found_.end()) {
      found_.push_back(std::move(found));
    } else if (known->drop.is_certain == found.drop.is_certain) {
      known->protocols.merge(found.protocols);
      known->is_of_translated = known->is_of_translated || found.is_of_translated;
      if (known->pods.empty()) return;
      // Of all: no more of some alone.
      if (found.pods.empty()) {
        known->pods.clear();
      } else {
        known->pods.merge(found.pods);
      }
    } else if (found.drop.is_certain) {
      *known = std::move(found);
    }
  }

  const Facts& facts_;
  Names names_;
  std::size_t most_;
  std::size_t asked_ = 0;  // of those that are told apart
  std::vector<Found> found_;
};

}  // namespace

std::vector<ForwardDrop> forward_drops(const Facts& facts, std::vector<std::string>& not_looked) {
  Collection found(facts);
  for (const auto& way : facts.node.ways) found.ask_for(way);
  std::ranges::move(found.not_looked(), std::back_inserter(not_looked));
  return found.all();
}

}  // namespace ipmasq::doctor
