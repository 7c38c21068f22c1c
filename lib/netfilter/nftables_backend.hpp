// Rules in the table `inet ip-masq` of nftables, through netlink.
#pragma once

#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

class NftablesBackend : public NatBackend {
 public:
  bool may_hold_rules() override;
  Look look(const nat::Ruleset& wanted) override;
  Change apply(const nat::Ruleset& wanted) override;
  std::vector<CountedRule> rules() override;
  std::vector<nat::Source> sources() override;
  std::vector<nat::Source> met_by(const net::Address& pod) override;
  std::optional<nat::Standing> standing(const net::Address& source, const net::Address& destination) override;
  void check(const nat::Ruleset& wanted) override;
};

}  // namespace ipmasq::netfilter
