// How an agent is doing, as the pages that probes and scrapers read.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace ipmasq::plugin {

struct AgentReport {
  std::uint64_t passes = 0;         ///< that came to their end
  std::uint64_t failed_passes = 0;  ///< that did not
  std::uint64_t changes = 0;        ///< of the kernel
  std::int64_t last_pass_at = 0;    ///< the last that came to its end, in seconds since 1970; 0 for none
  std::set<std::string> troubles;   ///< what is not as it should be now, a line each
  std::map<std::string, std::size_t> attachments;  ///< by network
};

/// What /healthz says: "ok", or each trouble in a line.
std::string health(const AgentReport& report);

/// What /metrics says, in Prometheus' text format 0.0.4.
std::string metrics(const AgentReport& report, const std::string& version);

}  // namespace ipmasq::plugin
