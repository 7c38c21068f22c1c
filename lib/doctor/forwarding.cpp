#include "doctor/forwarding.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "doctor/flows.hpp"
#include "nat/packet.hpp"

namespace ipmasq::doctor {

namespace {

using nat::Answer;
using nat::ForeignChain;
using nat::ForeignRule;
using nat::Hook;

// Rules that are looked at in all, and chains that lead from one to the next.
constexpr std::size_t most_rules = 1'000'000;
constexpr std::size_t most_depth = 64;

// Kinds of matches that ask what conntrack says of the connection.
bool asks_for_state(const ForeignRule& rule) {
  constexpr std::array<std::string_view, 3> kinds{"conntrack", "state", "ct"};
  return std::ranges::any_of(rule.other_matches, [&](const std::string& kind) {
    return std::ranges::find(kinds, kind) != kinds.end();
  });
}

bool decides(const std::string& target) {
  return target == "ACCEPT" || target == "DROP" || target == "REJECT";
}

class Walk {
 public:
  Walk(const nat::Foreign& foreign, const nat::Flow& flow, bool is_answer)
      : packet_(foreign, flow), is_answer_(is_answer) {
    for (const auto& rule : foreign.rules)
      chains_[key(rule.program, rule.family, rule.table, rule.chain)].push_back(&rule);
  }

  struct End {
    const ForeignRule* rule = nullptr;  ///< that decides for certain
    bool lets_some_through = false;
  };

  End run(const ForeignChain& base) {
    packet_.enters(base);
    end_ = {};
    walk(base.program, base.family, base.table, base.chain, Answer::yes, 0);
    return end_;
  }

 private:
  static std::string key(const std::string& program, const std::string& family, const std::string& table,
                         const std::string& chain) {
    return program + '\0' + family + '\0' + table + '\0' + chain;
  }

  Answer holds(const ForeignRule& rule) {
    if (asks_for_state(rule)) return is_answer_ && rule.target == "ACCEPT" ? Answer::yes : Answer::no;
    if (rule.protocol && (rule.protocol->value == IPPROTO_TCP) == rule.protocol->inverted) return Answer::no;
    if (rule.target == "ACCEPT" && rule.mark && packet_.holds(rule, {}) != Answer::yes) return Answer::no;
    auto without_protocol = rule;
    without_protocol.protocol.reset();
    return packet_.holds(without_protocol, {});
  }

  // Returns whether it is decided for certain, or the chain that led there goes no further.
  bool walk(const std::string& program, const std::string& family, const std::string& table,
            const std::string& chain, Answer certainty, std::size_t depth) {
    const auto rules = chains_.find(key(program, family, table, chain));
    if (rules == chains_.end() || depth > most_depth) return false;
    Answer before = Answer::yes;
    for (const auto* const rule : rules->second) {
      if (++seen_ > most_rules) {
        end_.lets_some_through = true;
        return false;
      }
      before = rule->parts_before ? nat::both(before, holds(*rule)) : holds(*rule);
      const auto answer = nat::both(before, certainty);
      if (answer == Answer::no) continue;
      if (rule->target == "RETURN" && before == Answer::yes) return false;
      if (rule->is_jump) {
        if (walk(program, family, table, rule->target, answer, depth + 1)) return true;
        if (rule->is_goto && before == Answer::yes) return false;
      } else if (rule->verdicts) {
        follow(*rule, answer, depth);
      } else if (decides(rule->target)) {
        if (answer == Answer::yes) {
          end_.rule = rule;
          return true;
        }
        end_.lets_some_through = end_.lets_some_through || rule->target == "ACCEPT";
      } else if (rule->is_not_known || rule->target == "QUEUE" || rule->target == "NFQUEUE") {
        end_.lets_some_through = true;
      }
    }
    return false;
  }

  // Which element is met is not known: what any lets through may be.
  void follow(const ForeignRule& rule, Answer answer, std::size_t depth) {
    const auto* const set = packet_.set_of(rule, *rule.verdicts);
    if (set == nullptr) {
      end_.lets_some_through = true;
      return;
    }
    for (const auto& element : set->elements) {
      const auto certainty =
          nat::both(nat::both(answer, Answer::may), packet_.is_element(element, *rule.verdicts));
      if (certainty == Answer::no) continue;
      if (element.is_jump) {
        walk(rule.program, rule.family, rule.table, element.target, certainty, depth + 1);
      } else if (element.target == "ACCEPT") {
        end_.lets_some_through = true;
      }
    }
  }

  nat::Packet packet_;
  bool is_answer_;
  std::unordered_map<std::string, std::vector<const ForeignRule*>> chains_;
  std::size_t seen_ = 0;
  End end_;
};

bool meets(const ForeignChain& base, net::Family family) {
  if (base.hook != Hook::forward || base.is_nat) return false;
  const bool is_ipv4 = family == net::Family::ipv4;
  if (base.program != "nft") return base.program == (is_ipv4 ? "iptables-legacy" : "ip6tables-legacy");
  return base.family == "inet" || base.family == (is_ipv4 ? "ip" : "ip6");
}

std::string name_of(const ForeignChain& base) {
  return base.program == "nft" ? "nft chain " + base.family + " " + nat::shell_word(base.table) + " " +
                                     nat::shell_word(base.chain)
                               : base.program + " -t " + base.table + " " + base.chain;
}

// What lets pods' packets through before anything else is asked.
std::string acceptance(const ForeignChain& base, net::Family family, const std::vector<net::Prefix>& pods) {
  const bool is_ipv4 = family == net::Family::ipv4;
  // What iptables-nft made, iptables-nft can read again.
  const bool is_iptables = base.program != "nft" || (base.family != "inet" && base.chain == "FORWARD");
  const auto program = base.program != "nft" ? base.program : is_ipv4 ? "iptables-nft" : "ip6tables-nft";
  std::string commands;
  for (const auto& subnet : pods) {
    for (const bool is_source : {true, false}) {
      commands += commands.empty() ? "" : " && ";
      commands += is_iptables ? program + " -t " + nat::shell_word(base.table) + " -I FORWARD " +
                                    (is_source ? "-s " : "-d ") + net::to_text(subnet) + " -j ACCEPT"
                              : "nft insert rule " + base.family + " " + nat::shell_word(base.table) + " " +
                                    nat::shell_word(base.chain) + (is_ipv4 ? " ip " : " ip6 ") +
                                    (is_source ? "saddr " : "daddr ") + net::to_text(subnet) + " accept";
    }
  }
  return commands;
}

// Flows to, or from, anywhere else.
std::vector<net::Prefix> anywhere(net::Family family) {
  return {net::network_of(net::Address{family, {}}, 0)};
}

std::set<std::string> others_than(const std::set<std::string>& interfaces, const Facts& facts) {
  std::set<std::string> others;
  for (const auto& [address, interface] : facts.node.interface_of) {
    if (interface != "lo" && !interfaces.contains(interface)) others.insert(interface);
  }
  return others;
}

}  // namespace

std::vector<ForwardDrop> forward_drops(const Facts& facts, net::Family family) {
  const auto pods = pod_subnets_of(facts, family);
  if (pods.empty()) return {};
  // Of a bridge the chains for forwarded packets see the bridge, and none of its ports.
  const auto& from_pods = facts.node.pod_interfaces;
  const nat::Flow sent{.sources = pods, .in_devices = from_pods, .node_addresses = facts.node.addresses};
  const nat::Flow answered{.sources = anywhere(family),
                           .destination = pods.front().address,
                           .in_devices = from_pods.empty() ? from_pods : others_than(from_pods, facts),
                           .out_devices = from_pods};
  std::vector<ForwardDrop> drops;
  for (const bool is_answer : {false, true}) {
    Walk walk(facts.node.foreign, is_answer ? answered : sent, is_answer);
    for (const auto& base : facts.node.foreign.chains) {
      if (!meets(base, family)) continue;
      const auto end = walk.run(base);
      const bool drops_it = end.rule != nullptr ? end.rule->target != "ACCEPT" : base.drops;
      const auto name = name_of(base);
      if (!drops_it || std::ranges::find(drops, name, &ForwardDrop::chain) != drops.end()) continue;
      drops.push_back({name, end.rule != nullptr ? nat::to_text(*end.rule) : name + ": policy drop",
                       !end.lets_some_through, acceptance(base, family, pods)});
    }
  }
  return drops;
}

}  // namespace ipmasq::doctor
