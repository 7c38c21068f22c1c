// Whether somebody changes rules of ours between two passes.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "config/backend.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/kernel.hpp"
#include "netfilter/nftables_events.hpp"
#include "plugin/agent/look_budget.hpp"

namespace ipmasq::plugin {

/// Why a pass is made where rules changed.
inline constexpr auto nftables_changed = "nftables changed";
inline constexpr auto iptables_changed = "iptables changed";
bool is_drift(const std::string& reason);

enum class PassEnd { nothing_to_do, done, not_right };

/// nftables tells. Legacy iptables does not: the size of its table, which is cheap to ask for, and its rules,
/// as often as 0.5% of a core allows, are looked at.
class DriftWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit DriftWatch(netfilter::Kernel& kernel) : kernel_(kernel) {}

  /// To be called before a pass looks: what changes from then on is told. What cannot be heard of goes to
  /// `warnings`, and is looked at instead.
  void before_pass(std::set<std::string>& warnings);
  /// What a pass left, or would leave; `used`: CPU time that it took, `interval`: how often one is made. What
  /// could not be mended would be found by each look.
  void after_pass(std::map<config::Backend, nat::Ruleset> wanted, PassEnd end, std::chrono::nanoseconds used,
                  std::chrono::nanoseconds interval);
  /// That a pass which failed found nothing out.
  void after_failed_pass(std::chrono::nanoseconds used) { rest(used); }

  bool uses_iptables() const { return wanted_.contains(config::Backend::iptables); }
  /// Readable where nftables told something; -1: it tells nothing.
  int descriptor() const { return events_ ? events_->descriptor() : -1; }
  /// Takes away all that was told until now; whether any of it concerns us.
  bool has_told() const { return events_ && events_->drain(); }
  /// When to look next; none where there is nothing to look at.
  std::optional<Clock::time_point> next_look() const;
  /// Looks where it is time to. Why to make a pass; empty for no reason.
  std::string look();

 private:
  bool tells(config::Backend backend) const;
  bool must_look() const;
  bool differs(config::Backend backend, const nat::Ruleset& wanted);
  void rest(std::chrono::nanoseconds used);
  std::string table_sizes() const;

  netfilter::Kernel& kernel_;
  std::optional<netfilter::NftablesEvents> events_;
  std::map<config::Backend, nat::Ruleset> wanted_;
  std::string table_sizes_;
  LookBudget budget_;
  Clock::time_point next_look_;
};

}  // namespace ipmasq::plugin
