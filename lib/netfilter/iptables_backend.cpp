#include "netfilter/iptables_backend.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <variant>

#include "error/error.hpp"
#include "nat/iptables_difference.hpp"
#include "nat/iptables_standing.hpp"
#include "nat/iptables_target.hpp"
#include "netfilter/iptables_check.hpp"
#include "netfilter/iptables_table.hpp"
#include "netfilter/nftables_drops_beside.hpp"
#include "netfilter/xtables_lock.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::iptables::ObservedTable;
using nat::iptables::State;

template <typename Tables>
std::vector<std::string> describe(const ObservedTable& before, const State& after) {
  auto lines = nat::iptables::to_text(nat::iptables::difference(before, after));
  for (auto& line : lines) line.insert(0, std::string(Tables::program) + ": ");
  return lines;
}

void append(std::vector<std::string>& lines, std::vector<std::string> more) {
  if (lines.empty()) return lines.swap(more);
  std::ranges::move(more, std::back_inserter(lines));
}

// Of those that all meet, what holds `pod`.
std::vector<nat::Source> holding(std::vector<nat::Source> sources, const net::Address& pod) {
  std::erase_if(sources, [&pod](const nat::Source& each) { return !each.prefix.contains(pod); });
  return sources;
}

template <typename Tables>
void look_at(const ObservedTable& observed, const nat::Ruleset& wanted, Look& found) {
  const auto state = nat::iptables::target(observed, wanted, Tables::family);
  append(found.differences, describe<Tables>(observed, state));
  const auto sources = nat::iptables::sources(observed, Tables::family);
  for (const auto& pod : wanted.pods) {
    if (pod.family == Tables::family) found.met[pod] = holding(sources, pod);
  }
}

// Mostly a source is missing of those that are wanted: who is asked for one tells at once.
template <typename Tables>
bool needs_change(const ObservedTable& observed, const nat::Ruleset& wanted) {
  if (!has_nat_table<Tables>()) return has_sources(wanted, Tables::family);
  const auto standing = nat::iptables::sources(observed, Tables::family);
  const auto is_missing = [&standing](const nat::Source& each) {
    return each.prefix.family() == Tables::family &&
           !std::ranges::binary_search(standing, each, nat::comes_first);
  };
  if (std::ranges::any_of(wanted.sources, is_missing)) return true;
  const auto state = nat::iptables::target(observed, wanted, Tables::family);
  return !nat::iptables::difference(observed, state).empty();
}

// What was done, as steps back. The xtables lock is held while they are taken.
class StepsBack {
 public:
  void add(std::function<void()> step) { steps_.insert(steps_.begin(), std::move(step)); }

  // All of them, each whatever became of the others: what could not be undone, empty where all was.
  std::string take() const {
    std::string left;
    for (const auto& step : steps_) {
      try {
        step();
      } catch (const std::exception& error) {
        left += std::string("; what this call changed before could not be undone: ") + error.what();
      }
    }
    return left;
  }

 private:
  std::vector<std::function<void()>> steps_;  // the last one done first
};

// From a fresh read under the lock: the table may have changed since somebody looked.
template <typename Tables>
void change(const nat::Ruleset& wanted, std::vector<std::string>& lines, StepsBack& back) {
  auto changed = change_nat_table<Tables>([&wanted](const ObservedTable& observed) {
    return nat::iptables::target(observed, wanted, Tables::family);
  });
  if (!changed) return;
  append(lines, describe<Tables>(changed->before, changed->after));
  back.add([was = nat::iptables::restorable(std::move(changed->before), changed->after)] {
    change_nat_table<Tables>(
        [&was](const ObservedTable& /*observed*/) { return nat::iptables::as_it_was(was); });
  });
}

// Of the exception that is being handled.
[[noreturn]] void rethrow_with(const std::string& left) {
  try {
    throw;
  } catch (const Error& error) {
    throw Error(error.kind(), error.what() + left, error.details());
  } catch (const std::exception& error) {
    throw Error(Kind::failed, error.what() + left);
  }
}

// What an undoing left; empty where all was undone.
std::string left_by(const std::function<void()>& undo) {
  StepsBack back;
  back.add(undo);
  return back.take();
}

CountedRule counted(const char* program, const std::string& chain,
                    const nat::iptables::ObservedRule& observed) {
  return {program, nat::iptables::to_text(chain, observed.rule), observed.packets, observed.bytes};
}

template <typename Tables>
void append_rules(const ObservedTable& table, std::vector<CountedRule>& rules) {
  const auto append_chain = [&](const std::string& chain) {
    const auto found = table.chains.find(chain);
    if (found == table.chains.end()) return;
    for (const auto& observed : found->second) rules.push_back(counted(Tables::program, chain, observed));
  };
  for (const auto& hook : table.hooks) {
    rules.push_back(counted(Tables::program, std::string(nat::iptables::hook_chain),
                            {nat::iptables::hook_rule(), hook.packets, hook.bytes}));
  }
  const std::string main(nat::iptables::main_chain);
  append_chain(main);
  const auto found = table.chains.find(main);
  if (found == table.chains.end()) return;
  std::set<std::string> seen;
  for (const auto& observed : found->second) {
    const auto* const target = std::get_if<nat::iptables::Goto>(&observed.rule.target);
    if (target != nullptr && seen.insert(target->chain).second) append_chain(target->chain);
  }
}

}  // namespace

// A table that is not there has nothing in it.
template <typename Tables>
const ObservedTable& IptablesBackend::read() {
  auto& kept = Tables::family == net::Family::ipv4 ? ipv4_ : ipv6_;
  if (!kept) kept = has_nat_table<Tables>() ? read_nat_table<Tables>() : ObservedTable{};
  return *kept;
}

const ObservedTable& IptablesBackend::read(net::Family family) {
  return family == net::Family::ipv4 ? read<Ipv4Tables>() : read<Ipv6Tables>();
}

void IptablesBackend::forget_reads() {
  ipv4_.reset();
  ipv6_.reset();
}

bool IptablesBackend::may_hold_rules() {
  return has_nat_table<Ipv4Tables>() || has_nat_table<Ipv6Tables>() || drops_stand_alone();
}

Look IptablesBackend::look(const nat::Ruleset& wanted) {
  Look found;
  look_at<Ipv4Tables>(read<Ipv4Tables>(), wanted, found);
  look_at<Ipv6Tables>(read<Ipv6Tables>(), wanted, found);
  append(found.differences, drop_differences(wanted, sources_after(translated_sources(), wanted)));
  return found;
}

Change IptablesBackend::apply(const nat::Ruleset& wanted) {
  const auto sources = sources_after(translated_sources(), wanted);
  auto change = apply_nat(wanted);
  try {
    auto drops = change_drops(wanted, sources);
    if (drops.lines.empty()) return change;
    append(change.lines, std::move(drops.lines));
    change.undo = [nat = std::move(change.undo), drops = std::move(drops.undo)] {
      drops();
      nat();
    };
    return change;
  } catch (...) {
    rethrow_with(left_by(change.undo));
  }
}

Change IptablesBackend::apply_nat(const nat::Ruleset& wanted) {
  // Both are looked at before either is changed.
  const bool change_ipv4 = needs_change<Ipv4Tables>(read<Ipv4Tables>(), wanted);
  const bool change_ipv6 = needs_change<Ipv6Tables>(read<Ipv6Tables>(), wanted);
  if (!change_ipv4 && !change_ipv6) return {};

  forget_reads();
  const auto lock = lock_xtables(lock_timeout_);
  std::vector<std::string> lines;
  const auto back = std::make_shared<StepsBack>();
  try {
    if (change_ipv4) change<Ipv4Tables>(wanted, lines, *back);
    if (change_ipv6) change<Ipv6Tables>(wanted, lines, *back);
  } catch (...) {
    rethrow_with(back->take());
  }
  return {std::move(lines), [back, timeout = lock_timeout_] {
            const auto lock_again = lock_xtables(timeout);
            const auto left = back->take();
            if (!left.empty()) throw Error(Kind::failed, "the nat tables are not as they were" + left);
          }};
}

std::vector<CountedRule> IptablesBackend::rules() {
  std::vector<CountedRule> rules;
  append_rules<Ipv4Tables>(read<Ipv4Tables>(), rules);
  append_rules<Ipv6Tables>(read<Ipv6Tables>(), rules);
  std::ranges::move(drop_rules_alone(), std::back_inserter(rules));
  return rules;
}

std::vector<nat::Source> IptablesBackend::sources() {
  auto all = translated_sources();
  std::ranges::move(drop_sources_beside(all), std::back_inserter(all));
  std::ranges::sort(
      all, [](const nat::Source& left, const nat::Source& right) { return comes_first(left, right); });
  return all;
}

std::vector<nat::Source> IptablesBackend::translated_sources() {
  auto all = nat::iptables::sources(read<Ipv4Tables>(), net::Family::ipv4);
  std::ranges::move(nat::iptables::sources(read<Ipv6Tables>(), net::Family::ipv6), std::back_inserter(all));
  return all;
}

std::vector<nat::Source> IptablesBackend::met_by(const net::Address& pod) {
  return holding(nat::iptables::sources(read(pod.family), pod.family), pod);
}

std::optional<nat::Standing> IptablesBackend::standing(const net::Address& source,
                                                       const net::Address& destination) {
  return nat::iptables::standing(read(source.family), source, destination);
}

void IptablesBackend::check(const nat::Ruleset& wanted) {
  check_iptables(wanted, Tables::stay);
}

}  // namespace ipmasq::netfilter
