// Rules in the legacy nat tables, through libiptc.
#pragma once

#include <chrono>

#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

class IptablesBackend : public NatBackend {
 public:
  explicit IptablesBackend(std::chrono::nanoseconds lock_timeout) : lock_timeout_(lock_timeout) {}

  bool may_hold_rules() override;
  std::vector<std::string> differences(const nat::Ruleset& wanted) override;
  std::vector<std::string> apply(const nat::Ruleset& wanted, const std::set<net::Family>& certain) override;
  std::vector<CountedRule> rules() override;
  void check_available() override;

 private:
  std::chrono::nanoseconds lock_timeout_;
};

}  // namespace ipmasq::netfilter
