// The back ends that a node has, and which of them holds there.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

enum class Backend { nftables, iptables };

inline constexpr std::array<Backend, 2> all_backends{Backend::nftables, Backend::iptables};

/// "nftables", "iptables"; as the netconf writes them.
std::string to_text(Backend backend);
std::optional<Backend> parse_backend(std::string_view text);

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
  /// there, which would undo those of iptables, or where there is no legacy nat table; else iptables. Throws
  /// Error.
  virtual Backend preferred() = 0;
};

/// The one that this process runs on.
class RealKernel : public Kernel {
 public:
  std::unique_ptr<NatBackend> open(Backend backend, std::chrono::nanoseconds lock_timeout) override;
  Backend preferred() override;
};

}  // namespace ipmasq::netfilter
