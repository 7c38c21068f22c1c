// The back ends that a node has, and which of them holds there.
#pragma once

#include <chrono>
#include <memory>

#include "config/backend.hpp"
#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

using config::Backend;

/// Whether a question may make a legacy table that has nothing to hold yet: looking at one makes it.
enum class Tables { may_be_made, stay };

/// NAT in the kernel, of this network namespace. An interface, so that tests can put a kernel that fails in
/// its place.
class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  Kernel(Kernel&&) = delete;
  Kernel& operator=(Kernel&&) = delete;
  virtual ~Kernel() = default;

  /// `lock_timeout`: how long to wait for locks that others may hold.
  virtual std::unique_ptr<NatBackend> open(Backend backend, std::chrono::nanoseconds lock_timeout) = 0;

  /// The back end whose exemptions hold here: nftables where somebody else has a nat chain on postrouting
  /// there, which would undo those of iptables, and the kernel can carry `wanted` in nftables; also where it
  /// has no legacy nat table for the families of `wanted`; else iptables. Throws Error, absent where neither
  /// can carry it: only what is absent decides.
  virtual Backend preferred(const nat::Ruleset& wanted, Tables tables) = 0;
};

/// The one that this process runs on.
class RealKernel : public Kernel {
 public:
  std::unique_ptr<NatBackend> open(Backend backend, std::chrono::nanoseconds lock_timeout) override;
  Backend preferred(const nat::Ruleset& wanted, Tables tables) override;
};

}  // namespace ipmasq::netfilter
