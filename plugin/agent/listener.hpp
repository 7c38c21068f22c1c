// What the agent answers to probes and scrapers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "http/server.hpp"
#include "net/address.hpp"
#include "plugin/agent/agent_report.hpp"
#include "plugin/agent/chores.hpp"
#include "plugin/agent/log.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

struct ListenAddress {
  net::Address address;
  std::uint16_t port = 0;
};

/// /healthz, /livez and /metrics, in a thread of their own. A port that somebody else has is no reason to
/// leave the rules alone: it is asked for again.
class Listener {
 public:
  using Clock = std::chrono::steady_clock;

  /// `address`: none: it answers nobody. The rest must outlive it.
  Listener(const std::optional<ListenAddress>& address, const ReportBoard& board, const Chores& chores,
           const state::Store& store, Log& log);

  /// Where it does not listen yet and it is time to try.
  void try_to_listen();
  /// When to try next; none where it listens, or is not to.
  std::optional<Clock::time_point> next_try() const;

 private:
  AgentReport report_of_now() const;
  http::Pages pages() const;

  std::optional<ListenAddress> address_;
  const ReportBoard& board_;
  const Chores& chores_;
  const state::Store& store_;
  Log& log_;
  bool was_refused_ = false;
  Clock::time_point next_try_;
  std::optional<http::Server> server_;
};

}  // namespace ipmasq::plugin
