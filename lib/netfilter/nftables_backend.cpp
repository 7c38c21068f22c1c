#include "netfilter/nftables_backend.hpp"

#include <algorithm>
#include <utility>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_stand_in.hpp"
#include "nat/nftables_standing.hpp"
#include "nat/nftables_target.hpp"
#include "netfilter/nftables_change.hpp"
#include "netfilter/nftables_drops_beside.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedTable;

}  // namespace

const ObservedTable& NftablesBackend::read() {
  if (!table_) table_ = read_nftables_table();
  return *table_;
}

bool NftablesBackend::may_hold_rules() {
  if (!may_hold_rules_) may_hold_rules_ = nftables_may_translate();
  return *may_hold_rules_;
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
  may_hold_rules_.reset();
  const auto only = nat::nftables::addresses_of(wanted);
  return change_nftables(
      [&wanted](const ObservedTable& observed, const std::set<net::Address>* /*only*/) {
        return nat::nftables::target(observed, wanted);
      },
      nat::nftables::leaves_others_alone(wanted) ? &only : nullptr);
}

std::vector<CountedRule> NftablesBackend::rules() {
  return counted_rules(read());
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
