// What the rules that a packet matches do to it.
#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "nat/hook_order.hpp"
#include "nat/nftables_rules.hpp"
#include "nat/walk.hpp"

namespace ipmasq::nat {

Walk::Outcome Walk::apply(const ForeignRule& rule, const Step& step) {
  if (rule.mark_change) change_mark(rule, step);
  if (rule.connection_mark_change) change_connection_mark(*rule.connection_mark_change, step);
  if (rule.untracks) untrack(rule, step);
  if (rule.zone) put_into_zone(rule, step);
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

Walk::Outcome Walk::verdict(const std::string& target, const ForeignRule& rule, const Step& step) {
  if (target == "DROP" || target == "REJECT" || lost_queue(rule, foreign_)) {
    drop(step.certainty, &rule, step.names_destination);
    pass_ours_by(rule, step);
    // Of what may be dropped, the rest goes on, and what drops that drops all.
    return step.certainty == Answer::yes ? Outcome{Answer::yes, Answer::yes} : Outcome{};
  }
  if (target == "ACCEPT") {
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
void Walk::pass_ours_by(const ForeignRule& rule, const Step& step) {
  if (ours_.is_nftables || !step.is_above_ours) return;
  if (fate_ == Fate::kept || fate_ == Fate::left_alone) return;
  report(Kind::passed_by, step.certainty, rule, "lets it go before our rules are asked");
}

namespace {

// The same where the other mark is this one.
MarkChange with(const MarkChange& change, const PacketMark& other) {
  return {.keep = change.keep,
          .flip = change.flip ^ change.moved(change.other & other.value),
          .unknown = change.unknown | change.moved(change.other & other.unknown)};
}

}  // namespace

void Walk::change_mark(const ForeignRule& rule, const Step& step) {
  if (rule.is_of_services() && (!flow_.destination || !step.names_destination)) return;
  const auto comes_in_time = is_beside_nat(*base_) ? Answer::may : Answer::yes;
  Marker marker{&rule, {}};
  for (const auto& [change, is_it] : changes_by(rule)) {
    // Without a connection nothing comes of what asks for its mark.
    const auto is_done = change.other == 0 ? is_it : both(is_it, has_connection(*base_, untracked_));
    if (is_done == Answer::no) continue;
    marker.changes.push_back(with(change, marks_.connection));
    marks_.packet.change(change, marks_.connection, both(is_done, both(step.onward, comes_in_time)));
  }
  if (marker.changes.empty()) return;
  const auto [known, is_new] = marked_.try_emplace(&rule, markers_.size());
  if (is_new) return markers_.push_back(std::move(marker));
  auto& changes = markers_[known->second].changes;
  for (const auto& each : marker.changes) {
    if (std::ranges::find(changes, each) == changes.end()) changes.push_back(each);
  }
}

void Walk::change_connection_mark(const MarkChange& change, const Step& step) {
  const auto is_done = both(step.onward, has_connection(*base_, untracked_));
  if (is_done != Answer::no) marks_.connection.change(change, marks_.packet, is_done);
}

std::vector<std::pair<MarkChange, Answer>> Walk::changes_by(const ForeignRule& rule) {
  const auto* const map = rule.mark_map ? packet_.set_of(rule, *rule.mark_map) : nullptr;
  if (map == nullptr) return {{*rule.mark_change, Answer::yes}};
  std::vector<std::pair<MarkChange, Answer>> changes;
  std::set<std::uint32_t> known;  // a map of many addresses has few marks
  auto any = Answer::no;
  for (const auto& element : map->elements) {
    ++met_;
    if (element.is_any_other() || !element.number) continue;
    const auto is_it = packet_.is_element(element, *rule.mark_map);
    any = std::max(any, is_it);
    const bool is_new =
        is_it == Answer::yes || (is_it == Answer::may && known.insert(*element.number).second);
    if (is_new) changes.emplace_back(MarkChange{.flip = *element.number}, is_it);
  }
  for (const auto& element : map->elements) {
    const bool is_left = element.is_any_other() && element.number && any != Answer::yes;
    if (is_left) changes.emplace_back(MarkChange{.flip = *element.number}, opposite(any));
  }
  return changes;
}

namespace {

enum class Sets { not_so, may_be, so };

// Whether a change can leave a packet with a mark; `may_be` where that comes from what is not known here.
Sets can_set(const MarkChange& change, const config::Mark& mark) {
  const auto foreseen = mark.mask & ~change.unknown;
  if ((change.touched() & mark.mask) == 0 || ((change.flip ^ mark.value) & foreseen & ~change.keep) != 0)
    return Sets::not_so;
  return (change.unknown & mark.mask) != 0 ? Sets::may_be : Sets::so;
}

}  // namespace

// The first one counts. Answers are looked for in their own direction's zone (nf_conntrack_core.c:
// resolve_normal_ct, nf_ct_key_equal), whatever the other one's.
void Walk::put_into_zone(const ForeignRule& rule, const Step& step) {
  const auto certainty = both(step.certainty, is_before_tracking(*base_));
  if (certainty == Answer::no || untracked_ == Answer::yes) return;
  const bool is_settled = zoned_by_ && zone_;
  if (is_settled) return;
  if (!zoned_by_) zoned_by_ = Tracking{*base_, &rule};
  const bool is_known = certainty == Answer::yes && zoned_by_->rule == &rule;
  const auto number = rule.zone->of == Zone::Of::sent ? std::optional(std::uint16_t{0}) : rule.zone->number;
  zone_ = is_known ? number : std::nullopt;
}

// SYNPROXY answers the first packet itself, which must not be tracked for that; the connection that it then
// opens is.
bool Walk::is_for_synproxy(const ForeignRule& rule) const {
  constexpr std::uint8_t syn = 0x02;
  const bool is_of_first =
      rule.tcp_flags && !rule.tcp_flags->inverted && (rule.tcp_flags->value.set & syn) != 0;
  return is_of_first && std::ranges::any_of(foreign_.rules, [this](const ForeignRule& each) {
           return each.target == "SYNPROXY" && is_of_family(each.program, each.family);
         });
}

void Walk::untrack(const ForeignRule& rule, const Step& step) {
  const auto is_early = is_before_tracking(*base_);
  if (is_early == Answer::no || is_for_synproxy(rule)) return;
  // What a bridge hands up to its own interface may be tracked all the same.
  const bool is_at_bridge = base_->hook == Hook::ingress && flow_.in_interface &&
                            flow_.in_devices.size() > 1 &&
                            std::ranges::count(base_->devices, *flow_.in_interface) > 0;
  const auto certainty = is_at_bridge ? Answer::may : both(step.certainty, is_early);
  const bool is_told = certainty == Answer::no || untracked_by_;
  if (!is_told && certainty == Answer::yes) untracked_by_ = Tracking{*base_, &rule};
  if (!is_told && certainty == Answer::may) may_be_untracked_by_.push_back({*base_, &rule});
  // Of many connections some are tracked, whatever one rule says of them all.
  untracked_ = std::max(untracked_, flow_.destination ? certainty : both(certainty, Answer::may));
  if (fate_ == Fate::kept || fate_ == Fate::left_alone) return;
  report(Kind::not_tracked, certainty, rule,
         "keeps it out of connection tracking: nothing translates it, and the pod's own address goes out");
}

Walk::Outcome Walk::translate(const ForeignRule& rule, const Step& step) {
  const Outcome ends{Answer::yes, Answer::yes};
  if (base_->hook != Hook::postrouting || fate_ == Fate::left_alone) return ends;
  const auto asked = is_asked(rule, step);
  if (asked == Answer::no) return ends;
  const auto certainty = both(step.certainty, asked);
  if (certainty == Answer::yes) translated_in_ = Hook::postrouting;
  const bool is_same =
      rule.target == "MASQUERADE" ? !flow_.snat_to : flow_.snat_to && rule.translates_to == flow_.snat_to;
  if (fate_ == Fate::masqueraded && is_same) return ends;
  const auto* const to_interface = "hides it behind the address of the interface by which it leaves";
  report(Kind::translated_by_others, certainty, rule,
         rule.target == "MASQUERADE" ? to_interface
         : rule.translates_to        ? "gives it the source " + net::to_text(*rule.translates_to)
                                     : "gives it another source");
  return ends;
}

// Whether a NAT rule on postrouting is asked about what our rules have a fate for.
Answer Walk::is_asked(const ForeignRule& rule, const Step& step) const {
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

Walk::Outcome Walk::redirect(const ForeignRule& rule, const Step& step) {
  const auto& redirection = *rule.redirection;
  is_redirected_ = is_redirected_ || base_->hook <= Hook::prerouting;
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

std::optional<Fate> Walk::fate_towards(const net::Address& destination) const {
  if (flow_.node_addresses.contains(destination)) return Fate::left_alone;
  return flow_.fate_towards ? std::optional(flow_.fate_towards(destination)) : std::nullopt;
}

// The packet comes to our rules, which return what has a yield mark. No answer does.
void Walk::ask_ours() {
  if (std::exchange(passed_ours_, true) || is_answer()) return;
  if (untracked_ == Answer::yes || fate_ == Fate::left_alone) return;
  for (const auto& yield : ours_.yield_marks) {
    const auto has = marks_.packet.has(yield);
    if (has == Answer::no) continue;
    const auto mark =
        " the mark " + config::to_text(yield) + ", for which our rules leave it to others (yieldMarks)";
    for (const auto& [rule, changes] : markers_) {
      auto sets = Sets::not_so;
      for (const auto& change : changes) sets = std::max(sets, can_set(change, yield));
      if (sets == Sets::so) report(Kind::yield_mark_set, has, *rule, "sets" + mark);
      if (sets == Sets::may_be) report(Kind::not_known, Answer::may, *rule, "sets" + mark);
    }
  }
}

void Walk::drop(Answer certainty, const ForeignRule* rule, bool names_destination) {
  const auto is_of_kube_proxy = [rule] {
    return rule->table == "kube-proxy" || rule->chain.starts_with("KUBE-");
  };
  if (certainty == Answer::no) return;
  if (rule != nullptr && names_destination && !flow_.destination && is_of_kube_proxy()) return;
  drops_.push_back({*base_, rule == nullptr ? std::nullopt : std::optional(*rule),
                    both(certainty, doubt_) == Answer::yes});
}

void Walk::report(Kind kind, Answer certainty, const ForeignRule& rule, const std::string& does,
                  std::optional<Fate> becomes) {
  const bool is_certain = both(certainty, doubt_) == Answer::yes;
  told_.add(kind, is_certain, rule, does, becomes);
}

}  // namespace ipmasq::nat
