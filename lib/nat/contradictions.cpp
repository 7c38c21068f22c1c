#include "nat/contradictions.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "nat/nftables_rules.hpp"

namespace ipmasq::nat {

namespace {

using Kind = Contradiction::Kind;

enum class Answer { no, may, yes };

Answer opposite(Answer answer) {
  return answer == Answer::yes ? Answer::no : answer == Answer::no ? Answer::yes : Answer::may;
}

Answer both(Answer left, Answer right) {
  return std::min(left, right);
}

Answer inverted_if(bool inverted, Answer answer) {
  return inverted ? opposite(answer) : answer;
}

// linux/netfilter_ipv4.h: where connections are tracked, and where NAT is. The nat chains of all, iptables'
// as well, are asked there whatever priorities they have, which order them among themselves (nf_nat_core.c:
// nf_nat_register_fn).
constexpr std::int32_t conntrack_priority = -200;
constexpr std::int32_t destination_nat_priority = -100;
constexpr std::int32_t source_nat_priority = 100;

std::int32_t nat_priority(Hook hook) {
  return hook == Hook::prerouting ? destination_nat_priority : source_nat_priority;
}

// Where packets meet a base chain: these are in their order. Of a chain beside NAT, nobody can tell: what was
// registered last comes first.
using Position = std::tuple<Hook, std::int32_t, bool, std::int32_t>;

Position position_of(const ForeignChain& base) {
  return base.is_nat ? Position{base.hook, nat_priority(base.hook), true, base.priority}
                     : Position{base.hook, base.priority, false, 0};
}

bool is_beside_nat(const ForeignChain& base) {
  return !base.is_nat && base.priority == nat_priority(base.hook);
}

// What others do to mark what they masquerade themselves: packets for services, which are told by matches
// that cannot always be read (ipsets).
constexpr std::array<std::string_view, 4> chains_of_services{"KUBE-MARK-MASQ", "mark-for-masquerade",
                                                             "CNI-HOSTPORT-SETMARK", "CNI-SETMARK"};

bool is_of_services(const ForeignRule& rule) {
  return std::ranges::find(chains_of_services, rule.chain) != chains_of_services.end();
}

// ---- addresses

net::Range hull(const std::string& first, const std::string& last, net::Family family, unsigned at) {
  const auto size = net::bits(family) / 8;
  net::Range range{{family, {}}, {family, {}}};
  std::copy_n(first.begin() + at, size, range.first.bytes.begin());
  std::copy_n(last.begin() + at, size, range.last.bytes.begin());
  return range;
}

bool overlaps(const net::Range& left, const net::Range& right) {
  return left.first.family == right.first.family && left.first <= right.last && right.first <= left.last;
}

bool covers(const net::Range& outer, const net::Range& inner) {
  return outer.first.family == inner.first.family && outer.first <= inner.first && inner.last <= outer.last;
}

// Addresses of a packet, of which one or many are asked about.
class Addresses {
 public:
  explicit Addresses(const std::vector<net::Prefix>& prefixes) {
    for (const auto& prefix : prefixes) ranges_.push_back(net::range_of(prefix));
    std::ranges::sort(ranges_);
    // Prefixes lie beside or within one another.
    const auto within = [](const net::Range& outer, const net::Range& inner) { return covers(outer, inner); };
    ranges_.erase(std::unique(ranges_.begin(), ranges_.end(), within), ranges_.end());
  }

  // Whether they lie in a range: some of them is "may".
  Answer lie_in(const net::Range& range) const {
    const auto first =
        std::ranges::lower_bound(ranges_, range.first, {}, [](const net::Range& each) { return each.last; });
    if (first == ranges_.end() || !overlaps(*first, range)) return Answer::no;
    return covers(range, {ranges_.front().first, ranges_.back().last}) ? Answer::yes : Answer::may;
  }

 private:
  std::vector<net::Range> ranges_;
};

// ---- the packet on its way

struct PacketMark {
  std::uint32_t value = 0;
  std::uint32_t unknown = 0;  // bits

  auto operator<=>(const PacketMark&) const = default;

  Answer has(const config::Mark& mark) const {
    if (((value ^ mark.value) & mark.mask & ~unknown) != 0) return Answer::no;
    return (unknown & mark.mask) != 0 ? Answer::may : Answer::yes;
  }

  void change(const MarkChange& by, std::uint32_t unknown_of_connection, Answer certainty) {
    const auto after = (value & by.keep) ^ by.flip;
    const auto unknown_after = (unknown & by.keep) | by.unknown | (by.restored & unknown_of_connection);
    if (certainty == Answer::yes) {
      value = after;
      unknown = unknown_after;
    } else {
      unknown |= unknown_after | (value ^ after);
    }
  }
};

// What a walk through a chain came to: whether the packet went no further in it and in those that led there.
struct Visit {
  Answer ended = Answer::no;
  PacketMark mark;
};

class Walk {
 public:
  Walk(const Foreign& foreign, const OurPlace& ours, const Flow& flow)
      : foreign_(foreign), ours_(ours), flow_(flow), sources_(flow.sources) {
    for (const auto& rule : foreign.rules) {
      chains_[place(rule.program, rule.family, rule.table, rule.chain)].push_back(&rule);
    }
    for (const auto& set : foreign.sets) sets_[place("nft", set.family, set.table, set.name)] = &set;
    if (flow.destination) destination_ = *flow.destination;
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
    return std::move(found_);
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

  net::Family family() const { return flow_.sources.front().family(); }

  // Among nat chains.
  std::int32_t our_priority() const {
    return ours_.is_nftables ? nftables::base_priority : source_nat_priority;
  }

  bool is_of_family(const std::string& program, const std::string& name) const {
    const bool is_ipv4 = family() == net::Family::ipv4;
    if (program != "nft") return program.starts_with(is_ipv4 ? "iptables" : "ip6tables");
    return name != (is_ipv4 ? "ip6" : "ip");
  }

  void enter(const ForeignChain& base) {
    base_ = &base;
    visits_.clear();
    if (base.is_nat && translated_in_ == base.hook) return;
    const auto is_tracked = base.is_nat ? opposite(untracked_) : Answer::yes;
    const auto certainty = both(is_tracked, passes_device_of(base));
    if (certainty == Answer::no) return;
    const auto visit = walk(base.program, base.family, base.table, base.chain, {certainty});
    mark_ = visit.mark;
  }

  Answer passes_device_of(const ForeignChain& base) const {
    auto answer = base.devices.empty() ? Answer::yes : Answer::no;
    for (const auto& device : base.devices) {
      answer = std::max(answer, base.hook == Hook::ingress ? comes_by(device)
                                                           : is_interface({device}, flow_.out_interface));
    }
    return answer;
  }

  // By one of several devices is "may"; on a bridge, connections may have been tracked at its port already.
  Answer comes_by(const std::string& device) const {
    if (flow_.in_devices.empty()) return Answer::may;
    auto answer = Answer::no;
    for (const auto& each : flow_.in_devices) answer = std::max(answer, is_interface({device}, each));
    return flow_.in_devices.size() > 1 ? both(answer, Answer::may) : answer;
  }

  // ---- matches

  Answer holds(const ForeignRule& rule) const {
    if (rule.to_local || rule.from_local || (rule.only && *rule.only != family())) return Answer::no;
    auto answer = rule.other_matches.empty() ? Answer::yes : Answer::may;
    if (rule.source) {
      const auto range = net::range_of(rule.source->value);
      answer = both(answer, inverted_if(rule.source->inverted, sources_.lie_in(range)));
    }
    if (rule.destination) answer = both(answer, destination_lies_in(*rule.destination));
    if (rule.in_interface) answer = both(answer, is_interface(*rule.in_interface, flow_.in_interface));
    if (rule.out_interface) answer = both(answer, is_interface(*rule.out_interface, flow_.out_interface));
    if (rule.protocol) answer = both(answer, Answer::may);
    if (rule.mark) answer = both(answer, inverted_if(rule.mark->inverted, mark_.has(rule.mark->value)));
    for (const auto& lookup : rule.lookups) {
      if (answer == Answer::no) break;
      answer = both(answer, is_in_set(rule, lookup));
    }
    return answer;
  }

  Answer destination_lies_in(const Match<net::Prefix>& match) const {
    const auto& prefix = match.value;
    if (prefix.family() != family()) return inverted_if(match.inverted, Answer::no);
    if (destination_) {
      return inverted_if(match.inverted, prefix.contains(*destination_) ? Answer::yes : Answer::no);
    }
    const bool is_the_nodes =
        prefix.length == net::bits(family()) && flow_.node_addresses.contains(prefix.address);
    return inverted_if(match.inverted, is_the_nodes ? Answer::no : Answer::may);
  }

  static Answer is_interface(const Match<std::string>& match, const std::optional<std::string>& known) {
    const auto& name = match.value;
    const bool is_start = name.ends_with('+');
    auto answer = Answer::may;
    if (name == "lo") {
      answer = Answer::no;
    } else if (known) {
      const bool is_it = is_start ? known->starts_with(name.substr(0, name.size() - 1)) : *known == name;
      answer = is_it ? Answer::yes : Answer::no;
    }
    return inverted_if(match.inverted, answer);
  }

  const ForeignSet* set_of(const ForeignRule& rule, const Lookup& lookup) const {
    const auto found = sets_.find(place("nft", rule.family, rule.table, lookup.set));
    return found == sets_.end() ? nullptr : found->second;
  }

  // Whether the packet's addresses are those of an element; the rest of its key is not told.
  Answer is_element(const ForeignElement& element, const Lookup& lookup) const {
    const auto size = net::bits(family()) / 8;
    const bool is_whole = element.first.size() == size && element.last.size() == size;
    auto answer = is_whole && (lookup.source_at || lookup.destination_at) ? Answer::yes : Answer::may;
    const auto has = [&](const std::optional<unsigned>& at) {
      return at && element.first.size() >= *at + size && element.last.size() >= *at + size;
    };
    if (has(lookup.source_at)) {
      answer = both(answer, sources_.lie_in(hull(element.first, element.last, family(), *lookup.source_at)));
    }
    if (has(lookup.destination_at)) {
      const auto range = hull(element.first, element.last, family(), *lookup.destination_at);
      if (destination_) {
        const bool lies_in = range.first <= *destination_ && *destination_ <= range.last;
        answer = both(answer, lies_in ? Answer::yes : Answer::no);
      } else {
        const bool is_the_nodes = range.first == range.last && flow_.node_addresses.contains(range.first);
        answer = both(answer, is_the_nodes ? Answer::no : Answer::may);
      }
    }
    return answer;
  }

  Answer is_in_set(const ForeignRule& rule, const Lookup& lookup) const {
    const auto* const set = set_of(rule, lookup);
    if (set == nullptr) return Answer::may;
    auto answer = Answer::no;
    for (const auto& element : set->elements) {
      answer = std::max(answer, is_element(element, lookup));
      if (answer == Answer::yes) break;
    }
    return inverted_if(lookup.inverted, answer);
  }

  static bool names_destination(const ForeignRule& rule) {
    const auto names = [](const Lookup& lookup) { return lookup.destination_at.has_value(); };
    return (rule.destination && !rule.destination->inverted && rule.destination->value.length > 0) ||
           std::ranges::any_of(rule.lookups,
                               [&](const Lookup& each) { return names(each) && !each.inverted; }) ||
           (rule.verdicts && names(*rule.verdicts));
  }

  // ---- chains

  Visit walk(const std::string& program, const std::string& family, const std::string& table,
             const std::string& chain, const Step& step) {
    const auto key = std::tuple(place(program, family, table, chain), step.certainty, step.names_destination,
                                step.is_above_ours, mark_);
    const auto [known, is_new] = visits_.try_emplace(key, Visit{Answer::no, mark_});
    if (!is_new) {
      mark_ = known->second.mark;
      return known->second;
    }
    const auto rules = chains_.find(std::get<0>(key));
    if (rules == chains_.end()) return {Answer::no, mark_};
    auto ended = Answer::no;
    auto here = Answer::yes;  // that the packet, once in this chain, comes to the next rule
    for (const auto* const rule : rules->second) {
      if (is_behind_our_jump(*rule)) ask_ours();
      const auto matches = holds(*rule);
      if (matches == Answer::no) continue;
      const Step next{both(step.certainty, both(here, matches)),
                      step.names_destination || names_destination(*rule),
                      step.is_above_ours || rule->is_above_ours};
      const auto outcome = apply(*rule, next);
      if (outcome.ends_all != Answer::no) {
        ended = std::max(ended, both(outcome.ends_all, both(here, matches)));
      }
      const auto leaves = both(std::max(outcome.ends_all, outcome.leaves), matches);
      if (leaves == Answer::yes) break;
      if (leaves == Answer::may) here = Answer::may;
    }
    const Visit visit{ended, mark_};
    visits_[key] = visit;
    return visit;
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
    if (flow_.fate == Fate::kept || flow_.fate == Fate::left_alone) return;
    report(Kind::passed_by, step.certainty, rule, "lets it go before our rules are asked");
  }

  Outcome follow(const ForeignRule& rule, const std::string& chain, bool is_goto, const Step& step) {
    const auto visit = walk(rule.program, rule.family, rule.table, chain, step);
    return {visit.ended, is_goto ? Answer::yes : Answer::no};
  }

  Outcome follow_verdicts(const ForeignRule& rule, const Step& step) {
    const auto* const set = set_of(rule, *rule.verdicts);
    if (set == nullptr) return {Answer::may, Answer::may};
    Outcome outcome;
    for (const auto& element : set->elements) {
      const auto is_it = is_element(element, *rule.verdicts);
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
    if (is_of_services(rule) && (!flow_.destination || !step.names_destination)) return;
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
    if (flow_.fate == Fate::kept || flow_.fate == Fate::left_alone) return;
    report(Kind::not_tracked, certainty, rule,
           "keeps it out of connection tracking: nothing translates it, and the pod's own address goes out");
  }

  Outcome translate(const ForeignRule& rule, const Step& step) {
    const Outcome ends{Answer::yes, Answer::yes};
    if (base_->hook != Hook::postrouting || flow_.fate == Fate::left_alone) return ends;
    const auto asked = is_asked(rule, step);
    if (asked == Answer::no) return ends;
    const auto certainty = both(step.certainty, asked);
    if (certainty == Answer::yes) translated_in_ = Hook::postrouting;
    const bool is_same =
        rule.target == "MASQUERADE"
            ? !flow_.snat_to
            : flow_.snat_to && rule.translates_to == net::Range{*flow_.snat_to, *flow_.snat_to};
    if (flow_.fate == Fate::masqueraded && is_same) return ends;
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
      return ours_.holds || flow_.fate == Fate::masqueraded ? Answer::no : Answer::yes;
    }
    if (base_->priority < our_priority()) return Answer::yes;
    if (flow_.fate == Fate::masqueraded) return base_->priority == our_priority() ? Answer::may : Answer::no;
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
      report(Kind::redirected, step.certainty, rule, "hands it to a program on this node");
      return done;
    }
    if (!redirection.to) {
      report(Kind::redirected, Answer::may, rule, "sends it elsewhere");
      return done;
    }
    const auto& to = *redirection.to;
    const bool is_one = to.first == to.last;
    if (flow_.destination && is_one && step.certainty == Answer::yes) destination_ = to.first;
    const bool ends_here = is_one && flow_.node_addresses.contains(to.first);
    if (ends_here && flow_.fate == Fate::kept) return done;
    const auto first = fate_towards(to.first);
    if (flow_.fate && first == flow_.fate && fate_towards(to.last) == flow_.fate) return done;
    report(Kind::redirected, is_one ? step.certainty : Answer::may, rule,
           "sends it to " + net::to_text(to) + (first ? ", which is " + text_of(*first) : ""));
    return done;
  }

  std::optional<Fate> fate_towards(const net::Address& destination) const {
    if (flow_.node_addresses.contains(destination)) return Fate::left_alone;
    return flow_.fate_towards ? std::optional(flow_.fate_towards(destination)) : std::nullopt;
  }

  static std::string text_of(Fate fate) {
    switch (fate) {
      case Fate::kept:
        return "kept";
      case Fate::masqueraded:
        return "masqueraded";
      case Fate::left_alone:
        return "left alone";
    }
    return "";
  }

  // The packet comes to our rules, which return what has a yield mark.
  void ask_ours() {
    if (std::exchange(passed_ours_, true)) return;
    if (untracked_ == Answer::yes || flow_.fate == Fate::left_alone) return;
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

  void report(Kind kind, Answer certainty, const ForeignRule& rule, const std::string& does) {
    Contradiction found{kind, certainty == Answer::yes, does, to_text(rule), fix_of(kind, rule)};
    const auto before = reported_.find({kind, &rule});
    if (before == reported_.end()) {
      reported_[{kind, &rule}] = found_.size();
      found_.push_back(std::move(found));
    } else if (found.is_certain && !found_[before->second].is_certain) {
      found_[before->second] = std::move(found);
    }
  }

  static std::string fix_of(Kind kind, const ForeignRule& rule) {
    const auto removal = delete_command(rule);
    return kind == Kind::yield_mark_set
               ? "have its owner use another bit, or take the mark out of yieldMarks; or take it away: " +
                     removal
               : "have its owner spare the pods, or take it away: " + removal;
  }

  const Foreign& foreign_;
  const OurPlace& ours_;
  const Flow& flow_;
  Addresses sources_;
  std::optional<net::Address> destination_;
  std::unordered_map<std::string, std::vector<const ForeignRule*>> chains_;
  std::unordered_map<std::string, const ForeignSet*> sets_;
  std::map<std::tuple<std::string, Answer, bool, bool, PacketMark>, Visit> visits_;  // of one base chain
  const ForeignChain* base_ = nullptr;
  bool passed_ours_ = false;
  PacketMark mark_;
  Answer untracked_ = Answer::no;
  std::optional<Hook> translated_in_;
  std::uint32_t connection_mark_ = 0;        // bits that somebody may have set: a new connection has none
  std::vector<const ForeignRule*> markers_;  // that were met, each once
  std::set<const ForeignRule*> marked_;
  std::map<std::pair<Kind, const ForeignRule*>, std::size_t> reported_;
  std::vector<Contradiction> found_;
};

}  // namespace

std::vector<Contradiction> contradictions(const Foreign& foreign, const OurPlace& ours, const Flow& flow) {
  return Walk(foreign, ours, flow).run();
}

}  // namespace ipmasq::nat
