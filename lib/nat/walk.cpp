#include "nat/walk.hpp"

#include <algorithm>
#include <utility>

#include "nat/hook_order.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::nat {

namespace {

// How far others are followed: chains that lead from one to the next, ways that lead into them, and rules
// that are met in all. A node with 40,000 rules has far fewer.
constexpr std::size_t most_depth = 500;
constexpr std::size_t most_visits = 200'000;
constexpr std::size_t most_rules = 4'000'000;

}  // namespace

Walk::Walk(const Foreign& foreign, const OurPlace& ours, const Flow& flow)
    : foreign_(foreign), ours_(ours), flow_(flow), packet_(foreign, flow), fate_(flow.fate) {
  // A new connection has no mark; of one that answers, it may be any, and later what rules may have set.
  auto& unknown = marks_.connection.unknown;
  if (is_answer()) unknown = ~std::uint32_t{0};
  for (const auto& rule : foreign.rules) {
    if (flow.state != connection_state::fresh && rule.connection_mark_change)
      unknown |= rule.connection_mark_change->touched();
    chains_[place(rule.program, rule.family, rule.table, rule.chain)].push_back(&rule);
  }
}

std::vector<Contradiction> Walk::run() {
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

PacketMark Walk::mark_at_routing() {
  auto bases = foreign_.chains;
  std::ranges::stable_sort(bases, {}, position_of);
  for (const auto& base : bases) {
    const bool is_before = base.hook <= Hook::prerouting && is_of_family(base.program, base.family);
    if (is_before) enter(base);
  }
  if (doubt_ != Answer::yes) marks_.packet.unknown = ~std::uint32_t{0};
  return marks_.packet;
}

std::string Walk::place(const std::string& program, const std::string& family, const std::string& table,
                        const std::string& name) {
  return program + '\0' + family + '\0' + table + '\0' + name;
}

// Among nat chains.
std::int32_t Walk::our_priority() const {
  return ours_.is_nftables ? nftables::base_priority : source_nat_priority;
}

bool Walk::is_of_family(const std::string& program, const std::string& name) const {
  const bool is_ipv4 = packet_.family() == net::Family::ipv4;
  if (program == "tc") return true;
  if (program != "nft") return program.starts_with(is_ipv4 ? "iptables" : "ip6tables");
  return name != (is_ipv4 ? "ip6" : "ip");
}

void Walk::enter(const ForeignChain& base) {
  base_ = &base;
  visits_.clear();
  if (base.is_nat && (translated_in_ == base.hook || flow_.state != connection_state::fresh)) return;
  packet_.is_untracked(untracked_);
  const auto is_tracked = base.is_nat ? opposite(untracked_) : Answer::yes;
  const auto comes = is_tied(base) ? Answer::may : doubt_;
  const auto certainty = both(both(is_tracked, comes), packet_.enters(base));
  if (certainty == Answer::no) return;
  const auto before = marks_;
  const auto visit = walk(base.program, base.family, base.table, base.chain, {certainty});
  if (certainty != Answer::yes) marks_.may_be(before);
  if (base.drops) drop(both(certainty, opposite(visit.ended)), nullptr, false);
}

// Of nat chains of one priority that have rules, nobody can tell which one decides where a connection goes.
bool Walk::is_tied(const ForeignChain& base) const {
  const auto is_at_its_place = [&](const ForeignChain& each) {
    return each.is_nat && position_of(each) == position_of(base) && is_of_family(each.program, each.family) &&
           chains_.contains(place(each.program, each.family, each.table, each.chain));
  };
  return base.is_nat && base.hook == Hook::prerouting &&
         std::ranges::count_if(foreign_.chains, is_at_its_place) > 1;
}

bool Walk::names_destination(const ForeignRule& rule) {
  const auto names = [](const Lookup& lookup) { return lookup.destination_at.has_value(); };
  return (rule.destination && !rule.destination->inverted && rule.destination->value.length > 0) ||
         (rule.destination_range && !rule.destination_range->inverted) ||
         std::ranges::any_of(rule.lookups,
                             [&](const Lookup& each) { return names(each) && !each.inverted; }) ||
         (rule.verdicts && names(*rule.verdicts));
}

Walk::Visit Walk::walk(const std::string& program, const std::string& family, const std::string& table,
                       const std::string& chain, const Step& step) {
  const auto found = chains_.find(place(program, family, table, chain));
  if (found == chains_.end()) return {Answer::no, marks_};
  const auto& rules = found->second;
  const Way way{&rules, step.certainty, step.names_destination, step.is_above_ours, marks_};
  const auto [known, is_new] = visits_.try_emplace(way, Visit{Answer::no, marks_});
  if (!is_new) {
    marks_ = known->second.marks;
    return known->second;
  }
  ++visited_;
  ++depth_;
  const Visit visit{walk(rules, step), marks_};
  --depth_;
  known->second = visit;
  return visit;
}

// Whether the packet went no further in this chain and in those that led here.
Answer Walk::walk(const Rules& rules, const Step& step) {
  auto ended = Answer::no;
  auto here = Answer::yes;  // that the packet, once in this chain, comes to the next rule
  auto matches = Answer::yes;
  bool names = false;
  bool may_return = false;
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
    if (matches != Answer::no) matches = both(matches, packet_.holds(*rule, marks_));
    if (matches == Answer::no) continue;
    names = names || names_destination(*rule);
    const auto onward = both(doubt_, both(here, matches));
    const Step next{both(step.certainty, onward), onward, names, step.is_above_ours || rule->is_above_ours};
    const auto outcome = apply(*rule, next);
    if (outcome.ends_all != Answer::no) {
      ended = std::max(ended, both(outcome.ends_all, both(here, matches)));
    }
    const auto leaves = both(std::max(outcome.ends_all, outcome.leaves), matches);
    may_return = may_return || outcome.leaves > outcome.ends_all;
    if (leaves == Answer::yes) {
      // What did not end here ended before.
      if (both(outcome.ends_all, matches) == Answer::yes && !may_return) ended = Answer::yes;
      break;
    }
    if (leaves == Answer::may) here = Answer::may;
  }
  return ended;
}

// What comes of the rest is not known, and so of nothing behind it.
void Walk::give_up(const ForeignRule& rule) {
  if (doubt_ == Answer::may) return;
  report(Kind::not_known, Answer::may, rule, "leads it on in more ways than are followed here");
  doubt_ = Answer::may;
}

bool Walk::is_behind_our_jump(const ForeignRule& rule) const {
  return !ours_.is_nftables && base_->is_nat && base_->hook == Hook::postrouting && rule.program != "nft" &&
         rule.chain == base_->chain && !rule.is_above_ours;
}

Walk::Outcome Walk::follow(const ForeignRule& rule, const std::string& chain, bool is_goto,
                           const Step& step) {
  if (depth_ >= most_depth || visited_ >= most_visits) {
    give_up(rule);
    return {Answer::may, Answer::may};
  }
  const auto before = marks_;
  const auto visit = walk(rule.program, rule.family, rule.table, chain, step);
  if (step.onward != Answer::yes) marks_.may_be(before);
  return {visit.ended, is_goto ? Answer::yes : Answer::no};
}

Walk::Outcome Walk::follow_verdicts(const ForeignRule& rule, const Step& step) {
  const auto* const set = packet_.set_of(rule, *rule.verdicts);
  if (set == nullptr) return {Answer::may, Answer::may};
  Outcome outcome;
  auto any = Answer::no;
  const auto lead = [&](const ForeignElement& element, Answer is_it) {
    if (is_it == Answer::no) return;
    const Step next{both(step.certainty, is_it), both(step.onward, is_it), step.names_destination,
                    step.is_above_ours};
    const auto each = element.is_jump ? follow(rule, element.target, element.is_goto, next)
                                      : verdict(element.target, rule, next);
    outcome.ends_all = std::max(outcome.ends_all, both(each.ends_all, is_it));
    outcome.leaves = std::max(outcome.leaves, both(each.leaves, is_it));
  };
  for (const auto& element : set->elements) {
    ++met_;
    if (element.is_any_other()) continue;
    const auto is_it = packet_.is_element(element, *rule.verdicts);
    any = std::max(any, is_it);
    lead(element, is_it);
  }
  for (const auto& element : set->elements) {
    if (element.is_any_other()) lead(element, opposite(any));
  }
  return outcome;
}

}  // namespace ipmasq::nat
