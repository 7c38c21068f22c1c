#include "netfilter/nftables_backend.hpp"

#include <algorithm>
#include <utility>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_stand_in.hpp"
#include "nat/nftables_standing.hpp"
#include "nat/nftables_target.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedTable;

std::vector<std::string> describe(const std::vector<nat::nftables::Edit>& edits) {
  auto lines = nat::nftables::to_text(edits);
  for (auto& line : lines) line = "nft: " + line;
  return lines;
}

}  // namespace

const ObservedTable& NftablesBackend::read() {
  if (!table_) table_ = read_nftables_table();
  return *table_;
}

bool NftablesBackend::may_hold_rules() {
  return has_nftables_table();
}

Look NftablesBackend::look(const nat::Ruleset& wanted) {
  const auto edits_of = [&wanted](const ObservedTable& table) {
    return nat::nftables::difference(table, nat::nftables::target(table, wanted));
  };
  const auto look_of = [&wanted](const ObservedTable& table, const std::vector<nat::nftables::Edit>& edits) {
    Look look{.differences = describe(edits)};
    for (const auto& pod : wanted.pods) look.met[pod] = nat::nftables::met_by(table, pod);
    return look;
  };
  if (!table_ && nat::nftables::leaves_others_alone(wanted)) {
    const auto addresses = nat::nftables::addresses_of(wanted);
    const auto table = read_nftables_table(addresses);
    const auto edits = edits_of(table);
    if (are_about(edits, addresses)) return look_of(table, edits);
  }
  return look_of(read(), edits_of(read()));
}

Change NftablesBackend::apply(const nat::Ruleset& wanted) {
  table_.reset();
  const auto target_for = [&wanted](const ObservedTable& observed) {
    return nat::nftables::target(observed, wanted);
  };
  if (nat::nftables::leaves_others_alone(wanted)) {
    if (const auto change = change_nftables_elements(nat::nftables::addresses_of(wanted), target_for)) {
      const auto undo = [edits = change->edits] {
        change_nftables_table([&edits](const ObservedTable& now) { return taken_back(now, edits); });
      };
      return {describe(change->edits), undo};
    }
  }
  const auto change = change_nftables_table(target_for);
  if (change.edits.empty()) return {};
  const auto undo = [before = nat::nftables::as_table(change.before)] {
    change_nftables_table([&before](const ObservedTable&) { return before; });
  };
  return {describe(change.edits), undo};
}

std::vector<CountedRule> NftablesBackend::rules() {
  std::vector<CountedRule> rules;
  const auto& table = read();
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

std::vector<nat::Source> NftablesBackend::sources() {
  std::vector<nat::Source> sources;
  for (const auto& lead : nat::nftables::leads_of(read())) sources.push_back(lead.source);
  std::ranges::sort(sources, [](const nat::Source& left, const nat::Source& right) {
    return nat::comes_first(left, right);
  });
  return sources;
}

std::vector<nat::Source> NftablesBackend::met_by(const net::Address& pod) {
  return nat::nftables::met_by(table_ ? *table_ : read_nftables_table({pod}), pod);
}

std::optional<nat::Standing> NftablesBackend::standing(const net::Address& source,
                                                       const net::Address& destination) {
  return nat::nftables::standing(read(), source, destination);
}

void NftablesBackend::check(const nat::Ruleset& wanted) {
  check_nftables_table(nat::nftables::target({}, wanted));
}

}  // namespace ipmasq::netfilter
