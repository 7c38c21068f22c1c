// Rules in the legacy nat tables, through libiptc. A family that nothing is wanted of and whose table this
// network namespace has not got is never opened: opening makes the table. To read a table costs what all have
// in it: what was read is kept until this back end changes something. What drops invalid packets stands
// beside them in nftables, see nftables_drops_beside.hpp.
#pragma once

#include <chrono>
#include <optional>

#include "nat/iptables_observed.hpp"
#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

class IptablesBackend : public NatBackend {
 public:
  explicit IptablesBackend(std::chrono::nanoseconds lock_timeout) : lock_timeout_(lock_timeout) {}

  bool may_hold_rules() override;
  Look look(const nat::Ruleset& wanted) override;
  /// Looks without the xtables lock, and changes what differs under it, from a read of its own. Where the
  /// second family's commit fails, the first one's is undone.
  Change apply(const nat::Ruleset& wanted) override;
  std::vector<CountedRule> rules() override;
  std::vector<nat::Source> sources() override;
  std::vector<nat::Source> met_by(const net::Address& pod) override;
  std::optional<nat::Standing> standing(const net::Address& source, const net::Address& destination) override;
  void check(const nat::Ruleset& wanted) override;

 private:
  template <typename Tables>
  const nat::iptables::ObservedTable& read();
  const nat::iptables::ObservedTable& read(net::Family family);
  void forget_reads();
  Change apply_nat(const nat::Ruleset& wanted);
  std::vector<nat::Source> translated_sources();

  std::chrono::nanoseconds lock_timeout_;
  std::optional<nat::iptables::ObservedTable> ipv4_;
  std::optional<nat::iptables::ObservedTable> ipv6_;
};

}  // namespace ipmasq::netfilter
