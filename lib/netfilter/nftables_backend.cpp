#include "netfilter/nftables_backend.hpp"

#include <utility>

#include "error/error.hpp"
#include "nat/nftables_difference.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

std::vector<std::string> describe(const std::vector<nat::nftables::Edit>& edits) {
  auto lines = nat::nftables::to_text(edits);
  for (auto& line : lines) line = "nft: " + line;
  return lines;
}

}  // namespace

bool NftablesBackend::may_hold_rules() {
  try {
    return has_nftables_table();
  } catch (const Error&) {
    return false;  // where we may not look, nothing of ours was put
  }
}

std::vector<std::string> NftablesBackend::differences(const nat::Ruleset& wanted) {
  return describe(nat::nftables::difference(read_nftables_table(), wanted));
}

// What is certain is of no use here: one table of ours is read in no time.
std::vector<std::string> NftablesBackend::apply(const nat::Ruleset& wanted,
                                                const std::set<net::Family>& /*certain*/) {
  return describe(change_nftables_table([&wanted](const nat::nftables::ObservedTable& observed) {
    return nat::nftables::difference(observed, wanted);
  }));
}

std::vector<CountedRule> NftablesBackend::rules() {
  std::vector<CountedRule> rules;
  const auto table = read_nftables_table();
  const auto append = [&](const std::string& name) {
    for (const auto& each : table.chains.at(name).rules) {
      rules.push_back({"nft", name + ": " + nat::nftables::to_text(each.rule), each.packets, each.bytes});
    }
  };
  const std::string base(nat::nftables::base_chain);
  if (table.chains.contains(base)) append(base);
  for (const auto& [name, chain] : table.chains) {
    if (name != base) append(name);
  }
  return rules;
}

void NftablesBackend::check_available() {
  static_cast<void>(has_nftables_table());
}

}  // namespace ipmasq::netfilter
