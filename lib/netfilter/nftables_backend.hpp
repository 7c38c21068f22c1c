// Rules in the table `inet ip-masq` of nftables, through netlink.
#pragma once

#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

class NftablesBackend : public NatBackend {
 public:
  bool may_hold_rules() override;
  std::vector<std::string> differences(const nat::Ruleset& wanted) override;
  std::vector<std::string> apply(const nat::Ruleset& wanted, const std::set<net::Family>& certain) override;
  std::vector<CountedRule> rules() override;
  void check_available() override;
};

}  // namespace ipmasq::netfilter
