#include "netfilter/kernel.hpp"

#include <algorithm>

#include "error/error.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/iptables_backend.hpp"
#include "netfilter/nftables_backend.hpp"

namespace ipmasq::netfilter {

std::string to_text(Backend backend) {
  return backend == Backend::nftables ? "nftables" : "iptables";
}

std::optional<Backend> parse_backend(std::string_view text) {
  const auto* const found =
      std::ranges::find_if(all_backends, [text](Backend each) { return to_text(each) == text; });
  return found == all_backends.end() ? std::nullopt : std::optional(*found);
}

std::unique_ptr<NatBackend> RealKernel::open(Backend backend, std::chrono::nanoseconds lock_timeout) {
  if (backend == Backend::nftables) return std::make_unique<NftablesBackend>();
  return std::make_unique<IptablesBackend>(lock_timeout);
}

Backend RealKernel::preferred() {
  if (!foreign_nat_chains(1).empty()) return Backend::nftables;
  try {
    IptablesBackend(std::chrono::nanoseconds{0}).check_available();
    return Backend::iptables;
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
    return Backend::nftables;
  }
}

}  // namespace ipmasq::netfilter
