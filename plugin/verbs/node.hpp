// What a call works on: this node's kernel and what is recorded of it.
#pragma once

#include <chrono>

#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

struct Node {
  netfilter::Kernel& kernel;
  const state::Store& store;
  std::chrono::nanoseconds lock_timeout;  ///< for locks that others may hold

  std::unique_ptr<netfilter::NatBackend> open(config::Backend backend) const {
    return kernel.open(backend, lock_timeout);
  }
};

}  // namespace ipmasq::plugin
