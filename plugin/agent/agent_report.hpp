// How an agent is doing, as the pages that probes and scrapers read.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace ipmasq::plugin {

struct AgentReport {
  using Clock = std::chrono::steady_clock;

  std::filesystem::path state_dir = {};
  std::uint64_t passes = 0;             ///< that came to their end
  std::uint64_t failed_passes = 0;      ///< that did not, or left rules that are not as they are wanted
  std::uint64_t changes = 0;            ///< of the kernel
  std::uint64_t drift_changes = 0;      ///< those among them that put back what somebody else had changed
  std::int64_t last_pass_at = 0;        ///< the last that came to its end, in seconds since 1970; 0 for none
  std::int64_t last_right_at = 0;       ///< the last that left all rules as they are wanted
  std::set<std::string> troubles = {};  ///< what is not as it should be now, a line each
  std::map<std::string, std::size_t> attachments = {};  ///< by network
  std::map<std::string, std::map<std::string, std::size_t>> policies =
      {};                                             ///< attachments, by network and policy
  std::map<std::string, bool> has_wrong_config = {};  ///< by network
  std::optional<bool> has_wrong_copy =
      {};  ///< of the file that is copied for plugin calls; none: no such duty

  std::chrono::nanoseconds resync_interval = std::chrono::seconds(60);
  Clock::time_point last_pass = Clock::now();        ///< that came to its end, or the agent's start
  std::optional<Clock::time_point> pass_began = {};  ///< of one that is under way
  struct Chore {
    std::string what;  ///< "to keep the entry in /etc/cni/net.d"
    Clock::time_point began;
  };
  std::optional<Chore> chore = {};              ///< that is under way
  bool is_starting = false;                     ///< the chores have not come to their end yet
  Clock::time_point last_round = Clock::now();  ///< when the loop last came round
};

/// What the loop says and the listener's thread reads.
class ReportBoard {
 public:
  void put(AgentReport report);
  AgentReport get() const;
  /// The loop has come round.
  void come_round();

 private:
  mutable std::mutex mutex_;
  AgentReport report_;
};

/// How long a pass, or a chore, may be under way, and how much later than resyncInterval it may end, before
/// /healthz says so; how long the loop may not come round before /livez does.
inline constexpr std::chrono::seconds longest_pass{10};
inline constexpr std::chrono::seconds resync_margin{30};
inline constexpr std::chrono::minutes longest_round{5};

/// What is not as it should be, a line each, ten at most; "ok" where all is.
struct Health {
  bool is_well = true;
  std::string text;
};

/// What /healthz says: whether the rules are looked after, and are as they are wanted.
Health health(const AgentReport& report, AgentReport::Clock::time_point now);

/// What /livez says: whether the loop comes round at all, so that a new start is no help unless it does not.
Health liveness(const AgentReport& report, AgentReport::Clock::time_point now);

/// What /metrics says, in Prometheus' text format 0.0.4.
std::string metrics(const AgentReport& report, const std::string& version);

}  // namespace ipmasq::plugin
