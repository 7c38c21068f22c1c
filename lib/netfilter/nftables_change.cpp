#include "netfilter/nftables_change.hpp"

#include "nat/nftables_drops.hpp"
#include "nat/nftables_stand_in.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedTable;

}  // namespace

std::vector<std::string> describe(const std::vector<nat::nftables::Edit>& edits) {
  auto lines = nat::nftables::to_text(edits);
  for (auto& line : lines) line = "nft: " + line;
  return lines;
}

Change change_nftables(const WantedTable& wanted, const std::set<net::Address>* only) {
  if (only != nullptr) {
    const auto change = change_nftables_elements(
        *only, [&](const ObservedTable& observed) { return wanted(observed, only); });
    if (change) {
      const auto undo = [edits = change->edits] {
        change_nftables_table([&edits](const ObservedTable& now) { return taken_back(now, edits); });
      };
      return {describe(change->edits), undo};
    }
  }
  const auto change =
      change_nftables_table([&wanted](const ObservedTable& observed) { return wanted(observed, nullptr); });
  if (change.edits.empty()) return {};
  const auto undo = [before = nat::nftables::as_table(change.before)] {
    change_nftables_table([&before](const ObservedTable&) { return before; });
  };
  return {describe(change.edits), undo};
}

std::vector<CountedRule> counted_rules(const ObservedTable& table) {
  std::vector<CountedRule> rules;
  const auto append = [&rules](const std::string& name, const nat::nftables::ObservedChain& chain) {
    for (const auto& each : chain.rules)
      rules.push_back({"nft", name + ": " + nat::nftables::to_text(each.rule), each.packets, each.bytes});
  };
  for (const auto base : {nat::nftables::base_chain, nat::nftables::forward_chain}) {
    const bool is_forward = base == nat::nftables::forward_chain;
    if (const auto found = table.chains.find(std::string(base)); found != table.chains.end())
      append(found->first, found->second);
    for (const auto& [name, chain] : table.chains) {
      const bool is_base = name == nat::nftables::base_chain || name == nat::nftables::forward_chain;
      if (!is_base && nat::nftables::whose_drop_chain(name).has_value() == is_forward) append(name, chain);
    }
  }
  return rules;
}

}  // namespace ipmasq::netfilter
