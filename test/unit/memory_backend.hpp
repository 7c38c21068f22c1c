// A back end that keeps its rules in memory and can be told to fail: for faults that a kernel does not offer.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "error/error.hpp"
#include "netfilter/kernel.hpp"

namespace ipmasq::test {

/// What stands in a back end.
struct MemoryTable {
  std::set<nat::Source> sources;
  std::map<nat::Owner, std::vector<nat::NetworkChain>> chains;

  bool operator==(const MemoryTable&) const = default;
};

/// Back ends without a kernel, and what stands in them.
class MemoryKernel : public netfilter::Kernel {
 public:
  std::unique_ptr<netfilter::NatBackend> open(netfilter::Backend backend,
                                              std::chrono::nanoseconds lock_timeout) override;
  netfilter::Backend preferred(const nat::Ruleset& wanted, netfilter::Tables tables) override;

  std::map<netfilter::Backend, MemoryTable> tables;
  netfilter::Backend prefers = netfilter::Backend::iptables;
  std::optional<Error> cannot_prefer = {};  ///< thrown when it is asked
  int reads = 0;
  int commits = 0;
  /// By back end, thrown by apply; what is not an Error of ours where `other_error` is set.
  std::map<netfilter::Backend, Error> refuses;
  std::map<netfilter::Backend, Error> cannot_undo;
  bool throws_bad_alloc = false;
};

}  // namespace ipmasq::test
