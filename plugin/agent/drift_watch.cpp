#include "plugin/agent/drift_watch.hpp"

#include <algorithm>
#include <utility>

#include "error/error.hpp"
#include "netfilter/iptables_size.hpp"
#include "plugin/agent/cpu_time.hpp"

namespace ipmasq::plugin {

namespace {

using namespace std::chrono_literals;

}  // namespace

bool is_drift(const std::string& reason) {
  return reason == nftables_changed || reason == iptables_changed;
}

void DriftWatch::before_pass(std::set<std::string>& warnings) {
  table_sizes_ = table_sizes();
  if (events_) return;
  try {
    events_.emplace();
  } catch (const Error& error) {
    if (error.kind() != Kind::absent)
      warnings.insert(std::string("warning: ") + error.what() + ": its rules are looked at");
  }
}

void DriftWatch::after_pass(std::map<config::Backend, nat::Ruleset> wanted, PassEnd end,
                            std::chrono::nanoseconds used, std::chrono::nanoseconds interval) {
  wanted_ = std::move(wanted);
  if (end == PassEnd::nothing_to_do) {
    budget_.pass_took(used, interval);
    next_look_ = Clock::now() + budget_.rest();
  }
  if (end == PassEnd::not_right) rest(used);
}

std::optional<DriftWatch::Clock::time_point> DriftWatch::next_look() const {
  if (!must_look()) return std::nullopt;
  // The size of a table is asked for each time.
  return uses_iptables() ? std::min<Clock::time_point>(next_look_, Clock::now() + LookBudget::shortest_rest)
                         : next_look_;
}

// Where the size changed, the look does not wait for its turn.
std::string DriftWatch::look() {
  if (!must_look()) return "";
  const auto began = cpu_time();
  const auto sizes = table_sizes();
  const auto before = cpu_time();
  budget_.question_took(before - began);
  if (std::exchange(table_sizes_, sizes) == sizes && Clock::now() < next_look_) return "";
  const bool differ = std::ranges::any_of(wanted_, [this](const auto& wanted) {
    return !tells(wanted.first) && differs(wanted.first, wanted.second);
  });
  rest(cpu_time() - before);
  if (!differ) return "";
  return uses_iptables() ? iptables_changed : nftables_changed;
}

// Whether somebody says so when its rules change.
bool DriftWatch::tells(config::Backend backend) const {
  return backend == config::Backend::nftables && events_.has_value();
}

bool DriftWatch::must_look() const {
  return std::ranges::any_of(wanted_, [this](const auto& wanted) { return !tells(wanted.first); });
}

// Where it cannot be known a pass tells why.
bool DriftWatch::differs(config::Backend backend, const nat::Ruleset& wanted) {
  try {
    return !kernel_.open(backend, 0s)->differences(wanted).empty();
  } catch (const Error&) {
    return true;
  }
}

void DriftWatch::rest(std::chrono::nanoseconds used) {
  budget_.look_took(used);
  next_look_ = Clock::now() + budget_.rest();
}

// Empty where they do not matter, or cannot be asked for: a pass then tells why.
std::string DriftWatch::table_sizes() const {
  try {
    return uses_iptables() ? netfilter::nat_table_sizes() : "";
  } catch (const Error&) {
    return "";
  }
}

}  // namespace ipmasq::plugin
