#include "nat/iptables_difference.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "nat/difference_lines.hpp"
#include "nat/edit_script.hpp"

namespace ipmasq::nat::iptables {

namespace {

// The order of the main chain's rules for pod subnets: longest prefix first, then by address and network.
bool comes_first(const Rule& left, const Rule& right) {
  return left.source && right.source &&
         std::tuple(right.source->length, left.source->address, left.comment) <
             std::tuple(left.source->length, right.source->address, right.comment);
}

// Chains that are not wanted but belong to networks whose attachments are not known: taken over as they are,
// with the rules of the main chain that lead there, and with the yield marks that those pods had.
void keep_unknown_networks(const ObservedTable& observed, const Ruleset& wanted, Chains& chains) {
  const std::string main_name(main_chain);
  const auto main = observed.chains.find(main_name);
  if (main == observed.chains.end()) return;

  std::vector<Rule> kept;
  for (const auto& [rule, packets, bytes] : main->second) {
    const auto network = network_of_rule(rule);
    if (!network || !rule.source || wanted.known_networks.contains(*network)) continue;
    const auto& name = std::get<Goto>(rule.target).chain;
    const auto chain = observed.chains.find(name);
    if (chains.contains(name) || chain == observed.chains.end()) continue;
    for (const auto& each : chain->second) chains[name].push_back(each.rule);
    kept.push_back(rule);
  }
  if (kept.empty()) return;

  auto& rules = chains[main_name];
  for (const auto& [rule, packets, bytes] : main->second) {
    const bool is_yield = rule.mark && rule.target == Target(Return{});
    if (!is_yield || std::ranges::find(rules, rule) != rules.end()) continue;
    rules.insert(std::ranges::find_if(rules, [](const Rule& other) { return !other.mark; }), rule);
  }
  const Rule to_local{.to_local = true, .target = Return{}};
  if (std::ranges::find(rules, to_local) == rules.end()) rules.push_back(to_local);
  for (const auto& rule : kept) {
    rules.insert(std::ranges::find_if(rules, [&rule](const Rule& other) { return comes_first(rule, other); }),
                 rule);
  }
}

// Rules that stay keep their counters.
void append_rule_edits(const std::string& chain, const std::vector<ObservedRule>& observed,
                       const std::vector<Rule>& wanted, std::vector<Edit>& edits) {
  const auto same = [&](std::size_t row, std::size_t column) { return observed[row].rule == wanted[column]; };
  std::size_t row = 0;
  std::size_t column = 0;
  for (const auto step : edit_script(observed.size(), wanted.size(), same)) {
    if (step == Step::remove) edits.emplace_back(DeleteRule{chain, column, observed[row].rule});
    if (step == Step::insert) edits.emplace_back(InsertRule{chain, column, wanted[column]});
    if (step != Step::insert) ++row;
    if (step != Step::remove) ++column;
  }
}

void append_hook_edits(const std::vector<Entrance>& entrances, bool wanted, std::vector<Edit>& edits) {
  const std::string hook(hook_chain);
  const auto is_right = [&hook](const Entrance& entrance) {
    return entrance.chain == hook && entrance.index == 0 && entrance.observed.rule == hook_rule();
  };
  bool found = false;
  // Those behind go first, so that the index of those before stays what it was.
  for (auto left = entrances.size(); left-- > 0;) {
    const auto& entrance = entrances[left];
    if (wanted && is_right(entrance)) {
      found = true;
    } else {
      edits.emplace_back(DeleteRule{entrance.chain, entrance.index, entrance.observed.rule});
    }
  }
  if (wanted && !found) edits.emplace_back(InsertRule{hook, 0, hook_rule()});
}

}  // namespace

std::vector<Edit> difference(const ObservedTable& observed, const Ruleset& wanted, net::Family family) {
  auto chains = wanted_chains(wanted, family);
  keep_unknown_networks(observed, wanted, chains);

  std::vector<Edit> edits;
  for (const auto& [name, rules] : chains) {
    if (!observed.chains.contains(name)) edits.emplace_back(CreateChain{name});
  }
  append_hook_edits(observed.entrances, !chains.empty(), edits);
  for (const auto& [name, rules] : chains) {
    const auto found = observed.chains.find(name);
    append_rule_edits(name, found == observed.chains.end() ? std::vector<ObservedRule>{} : found->second,
                      rules, edits);
  }
  const auto is_unwanted = [&chains](const auto& chain) { return !chains.contains(chain.first); };
  for (const auto& chain : observed.chains) {
    if (is_unwanted(chain)) append_rule_edits(chain.first, chain.second, {}, edits);
  }
  for (const auto& chain : observed.chains) {
    if (is_unwanted(chain)) edits.emplace_back(DeleteChain{chain.first});
  }
  return edits;
}

std::vector<std::string> to_text(const std::vector<Edit>& edits) {
  std::vector<std::string> missing;
  std::vector<std::string> unwanted;
  for (const auto& edit : edits) {
    if (const auto* const insert = std::get_if<InsertRule>(&edit))
      missing.push_back(to_text(insert->chain, insert->rule));
    if (const auto* const remove = std::get_if<DeleteRule>(&edit))
      unwanted.push_back(to_text(remove->chain, remove->rule));
    if (const auto* const create = std::get_if<CreateChain>(&edit)) missing.push_back("-N " + create->chain);
    if (const auto* const remove = std::get_if<DeleteChain>(&edit)) unwanted.push_back("-N " + remove->chain);
  }
  return difference_lines(missing, std::move(unwanted));
}

}  // namespace ipmasq::nat::iptables
