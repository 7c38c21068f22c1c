#include "nat/iptables_target.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace ipmasq::nat::iptables {

namespace {

struct ComesFirst {
  bool operator()(const Source& left, const Source& right) const { return comes_first(left, right); }
};

struct SourceRule {
  Rule rule;
  bool is_decided = false;
};

// Rules of the main chain that lead to networks' chains, in their order.
using SourceRules = std::map<Source, SourceRule, ComesFirst>;

const std::vector<ObservedRule>& rules_of(const ObservedTable& observed, const std::string& chain) {
  static const std::vector<ObservedRule> none;
  const auto found = observed.chains.find(chain);
  return found == observed.chains.end() ? none : found->second;
}

std::vector<Rule> verbatim(const std::vector<ObservedRule>& observed) {
  std::vector<Rule> rules;
  rules.reserve(observed.size());
  for (const auto& each : observed) rules.push_back(each.rule);
  return rules;
}

class Targeting {
 public:
  Targeting(const ObservedTable& observed, const Ruleset& ruleset, net::Family family)
      : observed_(observed),
        main_(rules_of(observed, std::string(main_chain))),
        ruleset_(ruleset),
        family_(family) {
    for (const auto& chain : ruleset.chains) {
      if (chain.family == family) wanted_.emplace(chain.owner(), &chain);
    }
  }

  State state() {
    const auto wanted = wanted_sources(standing_if_asked(), ruleset_);
    const Staying staying(ruleset_, wanted);
    for (const auto& source : wanted) {
      if (source.prefix.family() == family_) decide(source, sources_.end());
    }
    // They stand in this order already, of which there may be as many as pods.
    auto next = sources_.begin();
    for (const auto& each : main_) {
      const auto source = source_of(each.rule, family_);
      if (!source) continue;
      while (next != sources_.end() && comes_first(next->first, *source)) ++next;
      if (!staying.stays(*source)) continue;
      if (is_decided(*source) && wanted_.contains(source->owner())) {
        decide(*source, next);
      } else {
        keep(*source, each.rule, next);
      }
    }
    if (sources_.empty()) return {};
    append_marks();
    rules_.push_back(to_local_rule());
    append_sources();
    chains_[std::string(main_chain)] = std::move(rules_);
    return {std::move(chains_), 0};
  }

 private:
  bool is_host(const Source& source) const { return source.prefix.length == net::bits(family_); }

  bool is_decided(const Source& source) const { return ruleset_.networks.contains(source.network); }

  std::vector<Source> standing_if_asked() const {
    std::vector<Source> standing;
    if (ruleset_.of_unknown_policy.empty()) return standing;
    for (const auto& each : main_) {
      if (auto source = source_of(each.rule, family_)) standing.push_back(*std::move(source));
    }
    return standing;
  }

  // There is a wanted chain for it.
  void decide(const Source& source, SourceRules::iterator near) {
    const auto [like, is_new] = rules_to_.try_emplace(source.owner());
    if (is_new) {
      like->second = source_rule(source);
      chains_[std::get<Goto>(like->second.target).chain] = network_rules(*wanted_.at(source.owner()));
    }
    const auto there = sources_.try_emplace(near, source);
    if (there->second.is_decided) return;
    there->second = {like->second, true};
    there->second.rule.source = source.prefix.length == 0 ? std::nullopt : std::optional(source.prefix);
  }

  void keep(const Source& source, const Rule& rule, SourceRules::iterator near) {
    const auto& name = std::get<Goto>(rule.target).chain;
    const auto chain = observed_.chains.find(name);
    if (chain == observed_.chains.end()) return;
    if (!chains_.contains(name)) chains_[name] = verbatim(chain->second);
    others_stay_ = true;
    sources_.try_emplace(near, source, SourceRule{rule});
  }

  // Where marks of others stay, all stand in the order in which they stand already: calls of networks whose
  // marks differ would else move one another's.
  void append_marks() {
    std::vector<config::Mark> missing = ruleset_.yield_marks;
    if (others_stay_ && !ruleset_.has_all_marks) {
      for (const auto& each : main_) {
        if (!is_yield_rule(each.rule)) continue;
        if (std::ranges::find(rules_, each.rule) == rules_.end()) rules_.push_back(each.rule);
        std::erase(missing, *each.rule.mark);
      }
    }
    for (const auto& mark : missing) rules_.push_back(yield_rule(mark));
  }

  // The pod subnet that a source is, or that it is an address of.
  net::Prefix subnet_of(const Source& source) const {
    if (!is_host(source)) return source.prefix;
    auto longest = source.prefix;
    const auto take = [&](const net::Prefix& subnet) {
      const bool is_longer = longest == source.prefix || longest.length < subnet.length;
      if (subnet.contains(source.prefix) && is_longer) longest = subnet;
    };
    for (const auto& each : subnets_) {
      if (each.network == source.network) take(each.prefix);
    }
    if (const auto chain = wanted_.find(source.owner()); chain != wanted_.end())
      std::ranges::for_each(chain->second->shared_subnets, take);
    return longest;
  }

  // Hairpin rules belong to a prefix, whichever network has it.
  void append_sources() {
    std::map<net::Prefix, std::vector<Rule>> found;
    for (const auto& each : main_) {
      if (others_stay_ && is_hairpin_rule(each.rule)) found[*each.rule.source].push_back(each.rule);
    }
    for (const auto& [source, each] : sources_) {
      if (!is_host(source)) subnets_.push_back(source);
    }
    for (auto next = sources_.begin(); next != sources_.end();) {
      const auto& first = next->first;
      const auto end = std::find_if(next, sources_.end(),
                                    [&first](const auto& each) { return each.first.prefix != first.prefix; });
      const bool is_decided = std::any_of(next, end, [](const auto& each) { return each.second.is_decided; });
      auto hairpins =
          is_decided ? hairpin_rules(first.prefix, subnet_of(first)) : std::move(found[first.prefix]);
      std::ranges::move(hairpins, std::back_inserter(rules_));
      for (; next != end; ++next) rules_.push_back(std::move(next->second.rule));
    }
  }

  const ObservedTable& observed_;
  const std::vector<ObservedRule>& main_;
  const Ruleset& ruleset_;
  net::Family family_;
  std::map<Owner, const NetworkChain*> wanted_;
  SourceRules sources_;
  std::map<Owner, Rule> rules_to_;  // the chains of networks that are decided about
  std::vector<Source> subnets_;     // of the sources, those that are no single addresses
  bool others_stay_ = false;
  Chains chains_;
  std::vector<Rule> rules_;  // of the main chain
};

bool can_be_written(const Rule& rule, const ObservedTable& table) {
  if (!rule.other_matches.empty() || std::holds_alternative<OtherTarget>(rule.target)) return false;
  const auto* const jump = std::get_if<Jump>(&rule.target);
  const auto* const leap = std::get_if<Goto>(&rule.target);
  if (jump != nullptr) return table.chains.contains(jump->chain);
  return leap == nullptr || table.chains.contains(leap->chain);
}

}  // namespace

State target(const ObservedTable& observed, const Ruleset& ruleset, net::Family family) {
  return Targeting(observed, ruleset, family).state();
}

ObservedTable restorable(ObservedTable before, const State& after) {
  for (auto& [name, rules] : before.chains) {
    const auto now = after.chains.find(name);
    const auto stands = [&](const Rule& rule) {
      return now != after.chains.end() && std::ranges::find(now->second, rule) != now->second.end();
    };
    std::erase_if(rules, [&](const ObservedRule& each) {
      return !can_be_written(each.rule, before) && !stands(each.rule);
    });
  }
  return before;
}

State as_it_was(const ObservedTable& restorable) {
  State state;
  for (const auto& [name, rules] : restorable.chains) state.chains[name] = verbatim(rules);
  if (!restorable.hooks.empty()) state.hook_at = restorable.hooks.front().index;
  return state;
}

}  // namespace ipmasq::nat::iptables
