#include "netfilter/iptables_backend.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "error/error.hpp"
#include "nat/iptables_difference.hpp"
#include "netfilter/iptables_table.hpp"
#include "netfilter/xtables_lock.hpp"

namespace ipmasq::netfilter {

namespace {

template <typename Tables>
bool has_pod_subnets(const nat::Ruleset& ruleset) {
  const auto is_of_family = [](const nat::PodSubnet& subnet) {
    return subnet.prefix.family() == Tables::family;
  };
  return std::ranges::any_of(ruleset.pod_subnets, is_of_family);
}

template <typename Tables>
std::vector<nat::iptables::Edit> edits_in(const nat::Ruleset& wanted) {
  if (!has_pod_subnets<Tables>(wanted) && !has_nat_table<Tables>()) return {};
  return nat::iptables::difference(read_nat_table<Tables>(), wanted, Tables::family);
}

std::vector<std::string> describe(const std::vector<nat::iptables::Edit>& edits, const char* program) {
  auto lines = nat::iptables::to_text(edits);
  for (auto& line : lines) line = std::string(program) + ": " + line;
  return lines;
}

// The lock is not taken for a look, and no look is taken where a change is certain.
template <typename Tables>
bool needs_change(const nat::Ruleset& wanted, const std::set<net::Family>& certain) {
  const bool is_certain = certain.contains(Tables::family);
  if (!is_certain && !has_pod_subnets<Tables>(wanted) && !has_nat_table<Tables>()) return false;
  check_nat_table<Tables>();
  return is_certain || !edits_in<Tables>(wanted).empty();
}

// From a fresh read under the lock: the table may have changed since somebody looked.
template <typename Tables>
std::vector<std::string> change(const nat::Ruleset& wanted) {
  const auto edits = change_nat_table<Tables>([&wanted](const nat::iptables::ObservedTable& observed) {
    return nat::iptables::difference(observed, wanted, Tables::family);
  });
  return describe(edits, Tables::program);
}

void append(std::vector<std::string>& lines, std::vector<std::string> more) {
  std::ranges::move(more, std::back_inserter(lines));
}

void append_chain(const nat::iptables::ObservedTable& table, const std::string& chain, const char* program,
                  std::vector<CountedRule>& rules) {
  const auto found = table.chains.find(chain);
  if (found == table.chains.end()) return;
  for (const auto& [rule, packets, bytes] : found->second) {
    rules.push_back({program, nat::iptables::to_text(chain, rule), packets, bytes});
  }
}

template <typename Tables>
void append_rules(std::vector<CountedRule>& rules) {
  if (!has_nat_table<Tables>()) return;
  const auto table = read_nat_table<Tables>();
  for (const auto& [chain, index, observed] : table.entrances) {
    rules.push_back(
        {Tables::program, nat::iptables::to_text(chain, observed.rule), observed.packets, observed.bytes});
  }
  const std::string main(nat::iptables::main_chain);
  append_chain(table, main, Tables::program, rules);
  const auto found = table.chains.find(main);
  if (found == table.chains.end()) return;
  for (const auto& observed : found->second) {
    if (const auto* const target = std::get_if<nat::iptables::Goto>(&observed.rule.target)) {
      append_chain(table, target->chain, Tables::program, rules);
    }
  }
}

}  // namespace

bool IptablesBackend::may_hold_rules() {
  return has_nat_table<Ipv4Tables>() || has_nat_table<Ipv6Tables>();
}

std::vector<std::string> IptablesBackend::differences(const nat::Ruleset& wanted) {
  auto lines = describe(edits_in<Ipv4Tables>(wanted), Ipv4Tables::program);
  append(lines, describe(edits_in<Ipv6Tables>(wanted), Ipv6Tables::program));
  return lines;
}

std::vector<std::string> IptablesBackend::apply(const nat::Ruleset& wanted,
                                                const std::set<net::Family>& certain) {
  // Both are looked at before either is changed.
  const bool change_ipv4 = needs_change<Ipv4Tables>(wanted, certain);
  const bool change_ipv6 = needs_change<Ipv6Tables>(wanted, certain);
  if (!change_ipv4 && !change_ipv6) return {};

  const auto lock = lock_xtables(lock_timeout_);
  std::vector<std::string> lines;
  if (change_ipv4) append(lines, change<Ipv4Tables>(wanted));
  if (change_ipv6) append(lines, change<Ipv6Tables>(wanted));
  return lines;
}

std::vector<CountedRule> IptablesBackend::rules() {
  std::vector<CountedRule> rules;
  append_rules<Ipv4Tables>(rules);
  append_rules<Ipv6Tables>(rules);
  return rules;
}

void IptablesBackend::check_available() {
  // A node may have one family only.
  try {
    check_nat_table<Ipv4Tables>();
  } catch (const Error&) {
    try {
      check_nat_table<Ipv6Tables>();
      return;
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): what is said of IPv4 says enough
    }
    throw;
  }
}

}  // namespace ipmasq::netfilter
