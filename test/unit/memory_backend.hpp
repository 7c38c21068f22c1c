// A back end that keeps its rules in memory and can be told to fail: for faults that a kernel does not offer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cni/error.hpp"
#include "netfilter/nat_backend.hpp"

namespace ipmasq::test {

/// What stands in the pretended kernel; outlives the back ends that are opened on it.
struct MemoryKernel {
  nat::Ruleset rules;
  int reads = 0;
  int commits = 0;
  std::optional<cni::Error> refuses;  ///< thrown by apply, after the change where `half_done`
  bool half_done = false;

  netfilter::BackendFactory factory();
};

}  // namespace ipmasq::test
