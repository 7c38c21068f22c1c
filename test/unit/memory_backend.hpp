// A back end that keeps its rules in memory and can be told to fail: for faults that a kernel does not offer.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>

#include "error/error.hpp"
#include "netfilter/kernel.hpp"

namespace ipmasq::test {

/// Back ends without a kernel, and what stands in them.
class MemoryKernel : public netfilter::Kernel {
 public:
  std::unique_ptr<netfilter::NatBackend> open(netfilter::Backend backend,
                                              std::chrono::nanoseconds lock_timeout) override;
  netfilter::Backend preferred() override { return prefers; }

  nat::Ruleset& rules() { return rulesets[prefers]; }

  std::map<netfilter::Backend, nat::Ruleset> rulesets;
  netfilter::Backend prefers = netfilter::Backend::iptables;
  int reads = 0;
  int commits = 0;
  std::optional<Error> refuses;  ///< thrown by apply, after the change where `half_done`
  bool half_done = false;
};

}  // namespace ipmasq::test
