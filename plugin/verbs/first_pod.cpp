#include "plugin/verbs/first_pod.hpp"

#include <functional>

#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

// A pod of addresses that nobody has (RFC 5737, RFC 3849), of IPv4; where the kernel has no such thing, of
// IPv6.
void with_first_pod(Plan plan, const std::function<void(const nat::Ruleset&)>& check) {
  const auto try_with = [&](const char* subnet) {
    plan.pod_subnets = {net::parse_interface_address(subnet).value().network()};
    check(ruleset_of(plan));
  };
  try {
    try_with("192.0.2.0/24");
  } catch (const Error& of_ipv4) {
    if (of_ipv4.kind() != Kind::absent) throw;
    try {
      try_with("2001:db8::/64");
    } catch (const Error&) {
      throw of_ipv4;
    }
  }
}

}  // namespace

void check_that_kernel_takes(netfilter::NatBackend& backend, const Plan& plan) {
  if (!plan.pod_subnets.empty()) return backend.check(ruleset_of(plan));
  with_first_pod(plan, [&backend](const nat::Ruleset& wanted) { backend.check(wanted); });
}

void check_first_pod(netfilter::Kernel& kernel) {
  const Plan plan{"first", config::as_made({cni::Json::object()}), {}};
  with_first_pod(plan, [&kernel](const nat::Ruleset& wanted) {
    const auto backend = kernel.preferred(wanted, netfilter::Tables::stay);
    kernel.open(backend, std::chrono::nanoseconds{0})->check(wanted);
  });
}

}  // namespace ipmasq::plugin
