#include "nat/nftables_standing.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ipmasq::nat::nftables {

namespace {

using Element = Interval<std::string>;

enum class Match { no, perhaps, yes };

// One walk of a connection through the rules.
class Walk {
 public:
  Walk(const ObservedTable& table, const net::Address& source, const net::Address& destination)
      : table_(table), source_(source), destination_(destination) {}

  std::optional<Standing> go() {
    const std::string base_name(base_chain);
    const auto base = table_.chains.find(base_name);
    if (table_.is_dormant || base == table_.chains.end() || !base->second.is_base) return std::nullopt;
    const auto& rules = base->second.rules;
    const auto dispatch =
        std::ranges::find_if(rules, [this](const ObservedRule& each) { return leads(each.rule) != nullptr; });
    if (dispatch == rules.end()) return std::nullopt;

    if (!base->second.trouble.empty()) return uncertain(base_name + " " + base->second.trouble);
    for (auto each = rules.begin(); each != dispatch; ++each) {
      if (decides(base_name, each->rule)) return standing_;
    }
    const auto& chain = leads(dispatch->rule)->value;
    const auto found = table_.chains.find(chain);
    if (found == table_.chains.end() || matches(dispatch->rule) != Match::yes)
      return uncertain(text(base_name, dispatch->rule));
    for (const auto& each : found->second.rules) {
      if (decides(chain, each.rule)) return standing_;
    }
    return settle({});
  }

 private:
  static Standing uncertain(std::string rule) { return {Fate::left_alone, std::move(rule), false}; }
  static std::string text(const std::string& chain, const Rule& rule) { return chain + ": " + to_text(rule); }

  // The element by which a rule leads from the source to a chain.
  const Element* leads(const Rule& rule) const {
    const auto* const dispatch = std::get_if<Dispatch>(&rule.statement);
    if (dispatch == nullptr || dispatch->family != source_.family) return nullptr;
    const auto found = table_.sets.find(dispatch->map);
    if (found == table_.sets.end() || !is_map(found->second.set.kind)) return nullptr;
    return element_of(found->second.set, source_);
  }

  // Whether the connection goes no further; then standing_ says why.
  bool decides(const std::string& chain, const Rule& rule) {
    const auto match = matches(rule);
    const auto fate = fate_of(rule);
    const bool is_none_of_ours = !rule.other.empty() || std::holds_alternative<Drop>(rule.statement);
    if (match == Match::no || (!fate && !is_none_of_ours)) return false;
    const Standing here{
        .fate = fate.value_or(Fate::left_alone), .rule = text(chain, rule), .sources = sources_of(rule)};
    if (is_none_of_ours) return settle(uncertain(here.rule)), true;
    if (match == Match::yes) return settle(here), true;
    for_some_.push_back(here);
    return false;
  }

  Standing settle(Standing decision) {
    const auto differs =
        std::ranges::find_if(for_some_, [&](const Standing& each) { return each.fate != decision.fate; });
    if (differs != for_some_.end()) {
      decision = uncertain(differs->rule);
    } else {
      for (const auto& each : for_some_)
        std::ranges::copy(each.sources, std::back_inserter(decision.sources));
    }
    return standing_ = std::move(decision);
  }

  static std::vector<GivenSource> sources_of(const Rule& rule) {
    const auto* const nat = std::get_if<SourceNat>(&rule.statement);
    return nat == nullptr ? std::vector<GivenSource>()
                          : std::vector{GivenSource{rule.out_interface, nat->to}};
  }

  // nullopt: the connection goes on to the next rule.
  std::optional<Fate> fate_of(const Rule& rule) const {
    if (std::holds_alternative<Return>(rule.statement)) return Fate::left_alone;
    if (const auto* const keep = std::get_if<KeepSource>(&rule.statement))
      return keep->family == source_.family ? std::optional(Fate::kept) : std::nullopt;
    if (const auto* const nat = std::get_if<SourceNat>(&rule.statement))
      return !nat->to || family(*nat->to) == source_.family ? std::optional(Fate::masqueraded) : std::nullopt;
    return std::nullopt;
  }

  Match matches(const Rule& rule) const {
    const bool is_not_about_it =
        (rule.source && !rule.source->contains(source_)) ||
        (rule.destination && !rule.destination->contains(destination_)) ||
        (rule.mark && rule.mark->value != 0) || rule.to_local || rule.redirected || rule.is_invalid ||
        (rule.not_sent_to &&
         (rule.not_sent_to->family() != destination_.family || rule.not_sent_to->contains(destination_)));
    if (is_not_about_it) return Match::no;
    auto match = rule.out_interface || rule.protocol || rule.share || !rule.other.empty() ? Match::perhaps
                                                                                          : Match::yes;
    if (rule.destination_in) match = std::min(match, is_in(*rule.destination_in, SetKind::ranges));
    if (rule.pair_in) match = std::min(match, is_in(*rule.pair_in, SetKind::selves));
    return match;
  }

  Match is_in(const InSet& in, SetKind kind) const {
    if (in.family != destination_.family) return Match::no;
    const auto found = table_.sets.find(in.set);
    const bool is_known =
        found != table_.sets.end() && found->second.trouble.empty() && found->second.set.kind == kind;
    if (!is_known) return Match::perhaps;
    const bool is_pair = kind == SetKind::selves;
    const bool holds = element_of(found->second.set, destination_) != nullptr;
    return holds && (!is_pair || source_ == destination_) ? Match::yes : Match::no;
  }

  const ObservedTable& table_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  net::Address source_;
  net::Address destination_;
  std::vector<Standing> for_some_;
  Standing standing_;
};

}  // namespace

std::optional<Standing> standing(const ObservedTable& observed, const net::Address& source,
                                 const net::Address& destination) {
  return Walk(observed, source, destination).go();
}

}  // namespace ipmasq::nat::nftables
