// Rules in the legacy nat tables, through libiptc. A family that nothing is wanted of and whose table this
// network namespace has not got is never opened: opening makes the table.
#pragma once

#include <chrono>

#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

class IptablesBackend : public NatBackend {
 public:
  explicit IptablesBackend(std::chrono::nanoseconds lock_timeout) : lock_timeout_(lock_timeout) {}

  bool may_hold_rules() override;
  Look look(const nat::Ruleset& wanted) override;
  /// Looks without the xtables lock, and changes what differs under it. Where the second family's commit
  /// fails, the first one's is undone.
  Change apply(const nat::Ruleset& wanted) override;
  std::vector<CountedRule> rules() override;
  std::vector<nat::Source> sources() override;
  std::vector<nat::Source> met_by(const net::Address& pod) override;
  std::optional<nat::Standing> standing(const net::Address& source, const net::Address& destination) override;
  void check(const nat::Ruleset& wanted) override;

 private:
  std::chrono::nanoseconds lock_timeout_;
};

}  // namespace ipmasq::netfilter
