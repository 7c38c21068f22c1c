#include "nat/contradictions.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "nat/hook_order.hpp"
#include "nat/nftables_rules.hpp"
#include "nat/packet.hpp"
#include "nat/told_contradictions.hpp"

namespace ipmasq::nat {

namespace {

using Kind = Contradiction::Kind;

// How far others are followed: chains that lead from one to the next, ways that lead into them, and rules
// that are met in all. A node with 40,000 rules has far fewer.
constexpr std::size_t most_depth = 500;
constexpr std::size_t most_visits = 200'000;
constexpr std::size_t most_rules = 4'000'000;

// What a walk through a chain came to: whether the packet went no further in it and in those that led there.
struct Visit {
  Answer ended = Answer::no;
  PacketMark mark;
};

class Walk {
 public:
  Walk(const Foreign& foreign, const OurPlace& ours, const Flow& flow)
      : foreign_(foreign), ours_(ours), flow_(flow), packet_(foreign, flow), fate_(flow.fate) {
    for (const auto& rule : foreign.rules) {
      chains_[place(rule.program, rule.family, rule.table, rule.chain)].push_back(&rule);
    }
  }

  std::vector<Contradiction> run() {
    auto bases = foreign_.chains;
    std::ranges::stable_sort(bases, {}, position_of);
    const Position ours{Hook::postrouting, source_nat_priority, true, our_priority()};
    for (const auto& base : bases) {
      if (position_of(base) > ours) ask_ours();
      if (is_of_family(base.program, base.family)) enter(base);
    }
    ask_ours();
    return told_.all();
  }

 private:
  struct Step {
    Answer certainty = Answer::yes;  // that the packet comes here
    bool names_destination = false;  // somewhere on the way here
    bool is_above_ours = false;      // the way here begins before the jump to our chain
  };

  static std::string place(const std::string& program, const std::string& family, const std::string& table,
                           const std::string& name) {
    return program + '\0' + family + '\0' + table + '\0' + name;
  }

  // Among nat chains.
  std::int32_t our_priority() const {
    return ours_.is_nftables ? nftables::base_priority : source_nat_priority;
  }

  bool is_of_family(const std::string& program, const std::string& name) const {
    const bool is_ipv4 = packet_.family() == net::Family::ipv4;
    if (program != "nft") return program.starts_with(is_ipv4 ? "iptables" : "ip6tables");
    return name != (is_ipv4 ? "ip6" : "ip");
  }

  void enter(const ForeignChain& base) {
    base_ = &base;
    visits_.clear();
    if (base.is_nat && translated_in_ == base.hook) return;
    const auto is_tracked = base.is_nat ? opposite(untracked_) : Answer::yes;
    const auto comes = is_tied(base) ? Answer::may : doubt_;
    const auto certainty = both(both(is_tracked, comes), packet_.enters(base));
    if (certainty == Answer::no) return;
    const auto visit = walk(base.program, base.family, base.table, base.chain, {certainty});
    mark_ = visit.mark;
  }

  // Of nat chains of one priority that have rules, nobody can tell which one decides where a connection goes.
  bool is_tied(const ForeignChain& base) const {
    const auto is_at_its_place = [&](const ForeignChain& each) {
      return each.is_nat && position_of(each) == position_of(base) &&
             is_of_family(each.program, each.family) &&
             chains_.contains(place(each.program, each.family, each.table, each.chain));
    };
    return base.is_nat && base.hook == Hook::prerouting &&
           std::ranges::count_if(foreign_.chains, is_at_its_place) > 1;
  }

  static bool names_destination(const ForeignRule& rule) {
    const auto names = [](const Lookup& lookup) { return lookup.destination_at.has_value(); };
    return (rule.destination && !rule.destination->inverted && rule.destination->value.length > 0) ||
           std::ranges::any_of(rule.lookups,
                               [&](const Lookup& each) { return names(each) && !each.inverted; }) ||
           (rule.verdicts && names(*rule.verdicts));
  }

  // ---- chains

  using Rules = std::vector<const ForeignRule*>;
  using Way = std::tuple<const Rules*, Answer, bool, bool, PacketMark>;

  Visit walk(const std::string& program, const std::string& family, const std::string& table,
             const std::string& chain, const Step& step) {
    const auto found = chains_.find(place(program, family, table, chain));
    if (found == chains_.end()) return {Answer::no, mark_};
    const auto& rules = found->second;
    const Way way{&rules, step.certainty, step.names_destination, step.is_above_ours, mark_};
    const auto [known, is_new] = visits_.try_emplace(way, Visit{Answer::no, mark_});
    if (!is_new) {
      mark_ = known->second.mark;
      return known->second;
    }
    ++visited_;
    ++depth_;
    const Visit visit{walk(rules, step), mark_};
    --depth_;
    known->second = visit;
    return visit;
  }

  // Whether the packet went no further in this chain and in those that led here.
  Answer walk(const Rules& rules, const Step& step) {
    auto ended = Answer::no;
    auto here = Answer::yes;  // that the packet, once in this chain, comes to the next rule
    auto matches = Answer::yes;
    bool names = false;
    for (const auto* const rule : rules) {
      if (is_behind_our_jump(*rule)) ask_ours();
      if (++met_ > most_rules) {
        give_up(*rule);
        return Answer::may;
      }
      if (!rule->parts_before) {
        matches = Answer::yes;
        names = step.names_destination;
      }
      if (matches != Answer::no) matches = both(matches, packet_.holds(*rule, mark_));
      if (matches == Answer::no) continue;
      names = names || names_destination(*rule);
      const Step next{both(both(step.certainty, doubt_), both(here, matches)), names,
                      step.is_above_ours || rule->is_above_ours};
      const auto outcome = apply(*rule, next);
      if (outcome.ends_all != Answer::no) {
        ended = std::max(ended, both(outcome.ends_all, both(here, matches)));
      }
      const auto leaves = both(std::max(outcome.ends_all, outcome.leaves), matches);
      if (leaves == Answer::yes) break;
      if (leaves == Answer::may) here = Answer::may;
    }
    return ended;
  }

  // What comes of the rest is not known, and so of nothing behind it.
  void give_up(const ForeignRule& rule) {
    if (doubt_ == Answer::may) return;
    report(Kind::not_known, Answer::may, rule, "leads it on in more ways than are followed here");
    doubt_ = Answer::may;
  }

  bool is_behind_our_jump(const ForeignRule& rule) const {
    return !ours_.is_nftables && base_->is_nat && base_->hook == Hook::postrouting && rule.program != "nft" &&
           rule.chain == base_->chain && !rule.is_above_ours;
  }

  // What a rule that is reached came to.
  struct Outcome {
    Answer ends_all = Answer::no;  // this chain, and those that led here
    Answer leaves = Answer::no;    // this chain
  };

  Outcome apply(const ForeignRule& rule, const Step& step) {
    if (rule.mark_change) change_mark(rule, step);
    connection_mark_ |= rule.connection_mark;
    if (rule.untracks) untrack(rule, step);
    if (rule.is_not_known) {
      report(Kind::not_known, Answer::may, rule, "does to it what is not known here");
      doubt_ = Answer::may;
    }
    if (rule.rewrites_source) {
      report(Kind::source_rewritten, step.certainty, rule, "rewrites the source outside NAT");
    }
    if (rule.target == "NETMAP" && base_->hook == Hook::postrouting) return translate(rule, step);
    if (rule.redirection) return redirect(rule, step);
    if (rule.translates()) return translate(rule, step);
    if (rule.verdicts) return follow_verdicts(rule, step);
    if (rule.is_jump) return follow(rule, rule.target, rule.is_goto, step);
    return verdict(rule.target, rule, step);
  }

  Outcome verdict(const std::string& target, const ForeignRule& rule, const Step& step) {
    if (target == "ACCEPT" || target == "DROP" || target == "REJECT") {
      pass_ours_by(rule, step);
      return {Answer::yes, Answer::yes};
    }
    if (target == "RETURN") {
      if (rule.is_above_ours) pass_ours_by(rule, step);
      return {Answer::no, Answer::yes};
    }
    if (target == "QUEUE" || target == "NFQUEUE") {
      report(Kind::handed_over, Answer::may, rule, "hands it to a program, which decides");
      return {Answer::yes, Answer::yes};
    }
    return {};
  }

  // It leaves POSTROUTING of legacy iptables before it comes to our jump.
  void pass_ours_by(const ForeignRule& rule, const Step& step) {
    if (ours_.is_nftables || !step.is_above_ours) return;
    if (fate_ == Fate::kept || fate_ == Fate::left_alone) return;
    report(Kind::passed_by, step.certainty, rule, "lets it go before our rules are asked");
  }

  Outcome follow(const ForeignRule& rule, const std::string& chain, bool is_goto, const Step& step) {
    if (depth_ >= most_depth || visited_ >= most_visits) {
      give_up(rule);
      return {Answer::may, Answer::may};
    }
    const auto visit = walk(rule.program, rule.family, rule.table, chain, step);
    return {visit.ended, is_goto ? Answer::yes : Answer::no};
  }

  Outcome follow_verdicts(const ForeignRule& rule, const Step& step) {
    const auto* const set = packet_.set_of(rule, *rule.verdicts);
    if (set == nullptr) return {Answer::may, Answer::may};
    Outcome outcome;
    for (const auto& element : set->elements) {
      ++met_;
      const auto is_it = packet_.is_element(element, *rule.verdicts);
      if (is_it == Answer::no) continue;
      const Step next{both(step.certainty, is_it), step.names_destination, step.is_above_ours};
      const auto each = element.is_jump ? follow(rule, element.target, element.is_goto, next)
                                        : verdict(element.target, rule, next);
      outcome.ends_all = std::max(outcome.ends_all, both(each.ends_all, is_it));
      outcome.leaves = std::max(outcome.leaves, both(each.leaves, is_it));
    }
    return outcome;
  }

  // ---- what rules do

  void change_mark(const ForeignRule& rule, const Step& step) {
    if (rule.is_of_services() && (!flow_.destination || !step.names_destination)) return;
    const auto comes_in_time = is_beside_nat(*base_) ? Answer::may : Answer::yes;
    mark_.change(*rule.mark_change, connection_mark_, both(step.certainty, comes_in_time));
    if (marked_.insert(&rule).second) markers_.push_back(&rule);
  }

  void untrack(const ForeignRule& rule, const Step& step) {
    const bool is_early = base_->hook == Hook::ingress ||
                          (base_->hook == Hook::prerouting && base_->priority <= conntrack_priority);
    if (!is_early) return;
    const bool is_tie = base_->hook == Hook::prerouting && base_->priority == conntrack_priority;
    const auto certainty = is_tie ? Answer::may : step.certainty;
    // Of many connections some are tracked, whatever one rule says of them all.
    untracked_ = std::max(untracked_, flow_.destination ? certainty : both(certainty, Answer::may));
    if (fate_ == Fate::kept || fate_ == Fate::left_alone) return;
    report(Kind::not_tracked, certainty, rule,
           "keeps it out of connection tracking: nothing translates it, and the pod's own address goes out");
  }

  Outcome translate(const ForeignRule& rule, const Step& step) {
    const Outcome ends{Answer::yes, Answer::yes};
    if (base_->hook != Hook::postrouting || fate_ == Fate::left_alone) return ends;
    const auto asked = is_asked(rule, step);
    if (asked == Answer::no) return ends;
    const auto certainty = both(step.certainty, asked);
    if (certainty == Answer::yes) translated_in_ = Hook::postrouting;
    const bool is_same =
        rule.target == "MASQUERADE"
            ? !flow_.snat_to
            : flow_.snat_to && rule.translates_to == net::Range{*flow_.snat_to, *flow_.snat_to};
    if (fate_ == Fate::masqueraded && is_same) return ends;
    const auto* const to_interface = "hides it behind the address of the interface by which it leaves";
    report(Kind::translated_by_others, certainty, rule,
           rule.target == "MASQUERADE" ? to_interface
           : rule.translates_to        ? "gives it the source " + net::to_text(*rule.translates_to)
                                       : "gives it another source");
    return ends;
  }

  // Whether a NAT rule on postrouting is asked about what our rules have a fate for.
  Answer is_asked(const ForeignRule& rule, const Step& step) const {
    const bool is_legacy = rule.program != "nft";
    if (is_legacy) {
      if (!ours_.is_nftables && step.is_above_ours) return Answer::yes;
      // Our chain in POSTROUTING hands on what it returns only.
      return ours_.holds || fate_ == Fate::masqueraded ? Answer::no : Answer::yes;
    }
    if (base_->priority < our_priority()) return Answer::yes;
    if (fate_ == Fate::masqueraded) return base_->priority == our_priority() ? Answer::may : Answer::no;
    // An ACCEPT of legacy iptables does not bind nftables.
    const bool holds_here = ours_.is_nftables && ours_.holds;
    if (!holds_here) return Answer::yes;
    return base_->priority == our_priority() ? Answer::may : Answer::no;
  }

  Outcome redirect(const ForeignRule& rule, const Step& step) {
    const auto& redirection = *rule.redirection;
    const Outcome done =
        redirection.by_nat || redirection.to_this_node ? Outcome{Answer::yes, Answer::yes} : Outcome{};
    if (base_->hook > Hook::prerouting && (redirection.by_nat || redirection.to_this_node)) return done;
    if (redirection.by_nat && step.certainty == Answer::yes) translated_in_ = Hook::prerouting;
    // A destination of its own is a service's, a published port's: what it is for.
    if (!flow_.destination && step.names_destination) return done;
    if (redirection.to_this_node) {
      report(Kind::redirected, step.certainty, rule, "hands it to a program on this node", Fate::left_alone);
      return done;
    }
    if (!redirection.to) {
      report(Kind::redirected, Answer::may, rule, "sends it elsewhere");
      return done;
    }
    const auto& to = *redirection.to;
    const bool is_one = to.first == to.last;
    const auto before = fate_;
    const auto first = fate_towards(to.first);
    if (flow_.destination && is_one && step.certainty == Answer::yes) {
      packet_.goes_to(to.first);
      fate_ = first;
    }
    const bool ends_here = is_one && flow_.node_addresses.contains(to.first);
    if (ends_here && before == Fate::kept) return done;
    if (before && first == before && fate_towards(to.last) == before) return done;
    report(Kind::redirected, is_one ? step.certainty : Answer::may, rule,
           "sends it to " + net::to_text(to) + (first ? ", which is " + to_text(*first) : ""), first);
    return done;
  }

  std::optional<Fate> fate_towards(const net::Address& destination) const {
    if (flow_.node_addresses.contains(destination)) return Fate::left_alone;
    return flow_.fate_towards ? std::optional(flow_.fate_towards(destination)) : std::nullopt;
  }

  // The packet comes to our rules, which return what has a yield mark.
  void ask_ours() {
    if (std::exchange(passed_ours_, true)) return;
    if (untracked_ == Answer::yes || fate_ == Fate::left_alone) return;
    for (const auto& yield : ours_.yield_marks) {
      const auto has = mark_.has(yield);
      if (has == Answer::no) continue;
      for (const auto* const rule : markers_) {
        const auto& change = *rule->mark_change;
        const auto foreseen = yield.mask & ~change.unknown & ~change.restored;
        const auto touched = (~change.keep | change.flip | change.unknown | change.restored) & yield.mask;
        const bool can_set_it = touched != 0 && ((change.flip ^ yield.value) & foreseen & ~change.keep) == 0;
        if (!can_set_it) continue;
        report(Kind::yield_mark_set, has, *rule,
               "sets the mark " + config::to_text(yield) +
                   ", for which our rules leave it to others (yieldMarks)");
      }
    }
  }

  void report(Kind kind, Answer certainty, const ForeignRule& rule, const std::string& does,
              std::optional<Fate> becomes = std::nullopt) {
    const bool is_certain = both(certainty, doubt_) == Answer::yes;
    told_.add(kind, is_certain, rule, does, becomes);
  }

  const Foreign& foreign_;
  const OurPlace& ours_;
  const Flow& flow_;
  Packet packet_;
  std::optional<Fate> fate_;  // by our rules: of the destination that it has now
  std::unordered_map<std::string, Rules> chains_;
  std::map<Way, Visit> visits_;  // of one base chain
  std::size_t visited_ = 0;
  std::size_t depth_ = 0;
  std::size_t met_ = 0;
  Answer doubt_ = Answer::yes;  // whether all that happened so far is known
  const ForeignChain* base_ = nullptr;
  bool passed_ours_ = false;
  PacketMark mark_;
  Answer untracked_ = Answer::no;
  std::optional<Hook> translated_in_;
  std::uint32_t connection_mark_ = 0;        // bits that somebody may have set: a new connection has none
  std::vector<const ForeignRule*> markers_;  // that were met, each once
  std::set<const ForeignRule*> marked_;
  ToldContradictions told_;
};

}  // namespace

std::vector<Contradiction> contradictions(const Foreign& foreign, const OurPlace& ours, const Flow& flow) {
  return Walk(foreign, ours, flow).run();
}

}  // namespace ipmasq::nat
