#include "netfilter/kernel.hpp"

#include <optional>

#include "error/error.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/iptables_backend.hpp"
#include "netfilter/iptables_check.hpp"
#include "netfilter/nftables_backend.hpp"

namespace ipmasq::netfilter {

namespace {

// Of nftables, whose one table is for both families, nothing would be asked where nothing is wanted.
void check_nftables(const nat::Ruleset& wanted) {
  NftablesBackend().check(wanted.sources.empty() ? plain_ruleset(net::Family::ipv4) : wanted);
}

// Only what is absent is a reason; all else is thrown.
std::optional<Error> reason_against(Backend backend, const nat::Ruleset& wanted, Tables tables) {
  try {
    if (backend == Backend::nftables) {
      check_nftables(wanted);
    } else {
      check_iptables(wanted, tables);
    }
    return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
    return error;
  }
}

}  // namespace

std::unique_ptr<NatBackend> RealKernel::open(Backend backend, std::chrono::nanoseconds lock_timeout) {
  if (backend == Backend::nftables) return std::make_unique<NftablesBackend>();
  return std::make_unique<IptablesBackend>(lock_timeout);
}

Backend RealKernel::preferred(const nat::Ruleset& wanted, Tables tables) {
  const bool others_use_nftables = !foreign_nat_chains(1).empty();
  std::optional<Error> no_nftables;
  if (others_use_nftables) {
    no_nftables = reason_against(Backend::nftables, wanted, tables);
    if (!no_nftables) return Backend::nftables;
  }
  const auto no_iptables = reason_against(Backend::iptables, wanted, tables);
  if (!no_iptables) return Backend::iptables;
  if (!no_nftables) no_nftables = reason_against(Backend::nftables, wanted, tables);
  if (!no_nftables) return Backend::nftables;
  throw Error(Kind::absent, std::string(no_iptables->what()) + "; " + no_nftables->what(),
              no_iptables->details() + "; " + no_nftables->details());
}

}  // namespace ipmasq::netfilter
