#include "plugin/agent/agent_report.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "error/first_lines.hpp"
#include "plugin/agent/log.hpp"
#include "state/layout.hpp"

namespace ipmasq::plugin {

namespace {

class Exposition {
 public:
  Exposition& metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
    return *this;
  }

  template <typename Number>
  Exposition& value(Number number, const std::string& labels = "") {
    text_ += name_ + labels + " " + std::to_string(number) + "\n";
    return *this;
  }

  const std::string& text() const { return text_; }

 private:
  std::string name_;
  std::string text_;
};

std::string in_seconds(std::chrono::nanoseconds duration) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(duration).count()) + " s";
}

std::optional<std::string> overdue(const AgentReport& report, AgentReport::Clock::time_point now) {
  const auto lock = (report.state_dir / state::lock_file).string();
  if (report.pass_began && now - *report.pass_began > longest_pass) {
    return "late: a pass over all rules is under way for " + in_seconds(now - *report.pass_began) +
           ": \"fuser -v " + lock + "\" names who holds its lock";
  }
  const auto age = now - report.last_pass;
  if (age <= report.resync_interval + resync_margin) return std::nullopt;
  return "late: the last pass over all rules came to its end " + in_seconds(age) +
         " ago: expected one each " + in_seconds(report.resync_interval);
}

std::optional<std::string> overdue_chore(const AgentReport& report, AgentReport::Clock::time_point now) {
  if (!report.chore || now - report.chore->began <= longest_pass) return std::nullopt;
  return "hangs: what is under way " + report.chore->what + " has taken " +
         in_seconds(now - report.chore->began) +
         ": is there a file system that does not answer? Rules are looked after all the same";
}

Health health_of(std::vector<std::string> complaints) {
  if (complaints.empty()) return {true, "ok\n"};
  Health health{false, ""};
  for (const auto& line : first_lines(std::move(complaints))) health.text += as_line(line) + "\n";
  return health;
}

}  // namespace

void ReportBoard::put(AgentReport report) {
  const std::lock_guard guard(mutex_);
  report_ = std::move(report);
}

AgentReport ReportBoard::get() const {
  const std::lock_guard guard(mutex_);
  return report_;
}

void ReportBoard::come_round() {
  const std::lock_guard guard(mutex_);
  report_.last_round = AgentReport::Clock::now();
}

Health health(const AgentReport& report, AgentReport::Clock::time_point now) {
  std::vector<std::string> complaints(report.troubles.begin(), report.troubles.end());
  if (report.is_starting) complaints.emplace_back("starting: pods that run are looked for, to be adopted");
  if (auto late = overdue(report, now)) complaints.insert(complaints.begin(), std::move(*late));
  if (auto late = overdue_chore(report, now)) complaints.insert(complaints.begin(), std::move(*late));
  return health_of(std::move(complaints));
}

Health liveness(const AgentReport& report, AgentReport::Clock::time_point now) {
  const auto age = now - report.last_round;
  if (age <= longest_round) return health_of({});
  return health_of({"hangs: the agent's loop did not come round for " + in_seconds(age)});
}

std::string metrics(const AgentReport& report, const std::string& version) {
  Exposition page;
  page.metric("ip_masq_build_info", "gauge", "The version that runs.")
      .value(1, "{version=\"" + version + "\"}");
  page.metric("ip_masq_passes_total", "counter", "Passes over all rules that came to their end.")
      .value(report.passes);
  page.metric("ip_masq_failed_passes_total", "counter",
              "Passes that could not be made, or left rules that are not as they are wanted.")
      .value(report.failed_passes);
  page.metric("ip_masq_changes_total", "counter", "Changes of the kernel's rules.").value(report.changes);
  page.metric("ip_masq_drift_changes_total", "counter",
              "Changes among them that put back what others changed.")
      .value(report.drift_changes);
  page.metric("ip_masq_last_pass_timestamp_seconds", "gauge", "When the last pass came to its end.")
      .value(report.last_pass_at);
  page.metric("ip_masq_last_success_timestamp_seconds", "gauge",
              "When a pass last left all rules as they are wanted.")
      .value(report.last_right_at);
  page.metric("ip_masq_resync_interval_seconds", "gauge", "How often a pass is made where nothing happens.")
      .value(std::chrono::floor<std::chrono::seconds>(report.resync_interval).count());
  page.metric("ip_masq_troubles", "gauge", "What is not as it should be; /healthz names it.")
      .value(report.troubles.size());
  page.metric("ip_masq_config_wrong", "gauge",
              "Whether a network's configuration files are wrong, and what was good last is in force.");
  for (const auto& [network, is_wrong] : report.has_wrong_config)
    page.value(is_wrong ? 1 : 0, "{network=\"" + network + "\"}");
  if (report.has_wrong_copy) {
    page.metric("ip_masq_config_copy_wrong", "gauge",
                "Whether the file of --config-from is wrong, and its copy is the last good one.")
        .value(*report.has_wrong_copy ? 1 : 0);
  }
  page.metric("ip_masq_attachments", "gauge", "Attachments recorded, by network.");
  // A network's name has no character that a label would have to escape, nor has a policy's.
  for (const auto& [network, count] : report.attachments) page.value(count, "{network=\"" + network + "\"}");
  if (report.policies.empty()) return page.text();
  page.metric("ip_masq_policy_attachments", "gauge",
              "Attachments that have a policy, by network and policy.");
  for (const auto& [network, policies] : report.policies) {
    for (const auto& [policy, count] : policies)
      page.value(count, "{network=\"" + network + "\",policy=\"" + policy + "\"}");
  }
  return page.text();
}

}  // namespace ipmasq::plugin
