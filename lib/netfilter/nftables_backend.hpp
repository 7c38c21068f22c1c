// Rules in the table `inet ip-masq` of nftables, through netlink. Where all of it was read, or whether rules
// may stand there, that is kept until this back end changes something.
#pragma once

#include <optional>

#include "nat/nftables_observed.hpp"
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

 private:
  const nat::nftables::ObservedTable& read();

  std::optional<nat::nftables::ObservedTable> table_;
  std::optional<bool> may_hold_rules_;
};

}  // namespace ipmasq::netfilter
