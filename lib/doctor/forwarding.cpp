#include "doctor/forwarding.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <set>
#include <utility>

#include "doctor/flows.hpp"
#include "nat/drops.hpp"
#include "nat/hook_order.hpp"
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

// Pods of a way that others' rules treat each by itself: by its address, or by an interface where there are
// many.
std::vector<PodAt> named_alone(const PodWay& way, const nat::Foreign& foreign) {
  constexpr std::size_t most = 64;
  const auto names = named_by(foreign);
  const auto is_of_some = [&way](const net::Prefix& name) {
    return std::ranges::any_of(way.pods, [&name](const net::Prefix& each) { return !name.contains(each); });
  };
  const auto is_named = [&](const PodAt& pod) {
    const bool is_by_address = std::ranges::any_of(
        names, [&](const net::Prefix& name) { return name.contains(pod.address) && is_of_some(name); });
    if (is_by_address || way.pod_interface || pod.interface.empty()) return is_by_address;
    return std::ranges::any_of(foreign.rules, [&pod](const nat::ForeignRule& rule) {
      const auto is_it = [&pod](const auto& match) { return match && match->value == pod.interface; };
      return is_it(rule.in_interface) || is_it(rule.out_interface);
    });
  };
  std::vector<PodAt> found;
  for (const auto& pod : way.attached) {
    if (found.size() < most && is_named(pod)) found.push_back(pod);
  }
  return found;
}

PodWay way_of(const PodAt& pod, const PodWay& way) {
  auto its = way;
  its.pods = {net::host_prefix(pod.address)};
  if (!pod.interface.empty()) its.pod_interface = pod.interface;
  its.attached.clear();
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
  if (flow.state == nat::connection_state::established) {
    return base.hook == Hook::ingress ||
           (base.hook == Hook::prerouting && base.priority <= nat::destination_nat_priority);
  }
  return base.hook == Hook::egress ||
         (base.hook == Hook::postrouting && base.priority > nat::source_nat_priority);
}

class Collection {
 public:
  explicit Collection(const Facts& facts) : facts_(facts) {}

  void ask_for(const PodWay& way) {
    if (!ask_about(way, {})) return;
    for (const auto& pod : named_alone(way, facts_.node.foreign)) {
      const auto its = way_of(pod, way);
      ask_about(its, {its.pods.front()});
    }
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
      drops.push_back({std::move(decides), each.drop.is_certain,
                       fix_of(each.drop, each.family, pods, each.is_of_translated)});
    }
    return drops;
  }

 private:
  // Whether any may be dropped. `alone`: pods of which nothing is told but what is certain.
  bool ask_about(const PodWay& way, const std::set<net::Prefix>& alone) {
    const auto translated =
        way.fate == nat::Fate::kept ? std::vector<net::Prefix>() : translations(facts_, way);
    const auto sent = flow_on(way, facts_.node.addresses);
    bool is_open = false;
    for (const auto& flow : {sent, nat::answer_to(sent)}) {
      if (way.fate != nat::Fate::masqueraded || translated.empty()) is_open |= ask(flow, false, alone);
      if (translated.empty()) continue;
      auto masqueraded = flow;
      masqueraded.translated = translated;
      is_open |= ask(std::move(masqueraded), true, alone);
    }
    return is_open;
  }

  bool ask(nat::Flow flow, bool is_translated, const std::set<net::Prefix>& alone) {
    bool is_open = false;
    for (const auto protocol : protocols) {
      flow.protocol = protocol;
      for (auto& drop : nat::drops(facts_.node.foreign, flow)) {
        is_open = is_open || !drop.is_certain;
        if (!alone.empty() && !drop.is_certain) continue;
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
  std::vector<Found> found_;
};

}  // namespace

std::vector<ForwardDrop> forward_drops(const Facts& facts) {
  Collection found(facts);
  for (const auto& way : facts.node.ways) found.ask_for(way);
  return found.all();
}

}  // namespace ipmasq::doctor
