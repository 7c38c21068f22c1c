// What a call works on: this node's kernel and what is recorded of it.
#pragma once

#include <chrono>
#include <map>
#include <memory>

#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Of one call, or one pass. Copies share what they opened.
struct Node {
  using Opened = std::map<config::Backend, std::unique_ptr<netfilter::NatBackend>>;

  netfilter::Kernel& kernel;
  const state::Store& store;
  std::chrono::nanoseconds lock_timeout;  ///< for locks that others may hold
  std::shared_ptr<Opened> opened = std::make_shared<Opened>();

  /// The same one until a lock is taken, or what was done is taken back: a back end may keep what it read.
  netfilter::NatBackend* open(config::Backend backend) const {
    auto& found = (*opened)[backend];
    if (!found) found = kernel.open(backend, lock_timeout);
    return found.get();
  }

  void look_anew() const { opened->clear(); }

  /// Others may have changed what was read before the lock was had.
  os::FileLock lock_shared() const {
    auto lock = store.lock_shared(lock_timeout);
    look_anew();
    return lock;
  }
  os::FileLock lock_exclusive() const {
    auto lock = store.lock_exclusive(lock_timeout);
    look_anew();
    return lock;
  }
};

}  // namespace ipmasq::plugin
