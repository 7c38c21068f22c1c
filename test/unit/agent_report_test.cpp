#include "plugin/agent/agent_report.hpp"

#include <doctest/doctest.h>

#include "plugin/agent/log.hpp"

namespace ipmasq::plugin {

namespace {

using namespace std::chrono_literals;

const AgentReport::Clock::time_point now{1000h};

AgentReport well() {
  return {.state_dir = "/state", .last_pass = now, .last_round = now};
}

}  // namespace

TEST_CASE("health is a statement with an age") {
  auto report = well();
  CHECK(health(report, now).text == "ok\n");
  CHECK(health(report, now + 90s).is_well);
  CHECK(health(report, now + 91s).text ==
        "late: the last pass over all rules came to its end 91 s ago: expected one each 60 s\n");
  CHECK(!health(report, now + 91s).is_well);
  report.resync_interval = 5min;
  CHECK(health(report, now + 330s).is_well);
  report.pass_began = now;
  CHECK(health(report, now + 10s).is_well);
  CHECK(health(report, now + 12s).text ==
        "late: a pass over all rules is under way for 12 s: \"fuser -v /state/lock\" names who holds its "
        "lock\n");
}

TEST_CASE("what hangs beside the rules is told, and what it is") {
  auto report = well();
  report.chore = {"to keep the entry in /etc/cni/net.d", now};
  CHECK(health(report, now + 10s).is_well);
  CHECK(health(report, now + 12s).text ==
        "hangs: what is under way to keep the entry in /etc/cni/net.d has taken 12 s: is there a file system "
        "that "
        "does not answer? Rules are looked after all the same\n");
  CHECK(liveness(report, now + 12s).is_well);
}

TEST_CASE("nobody is told that all is well before pods that run were looked for") {
  auto report = well();
  report.is_starting = true;
  CHECK(health(report, now).text == "starting: pods that run are looked for, to be adopted\n");
  CHECK(!health(report, now).is_well);
  CHECK(liveness(report, now).is_well);
}

TEST_CASE("a page has few lines, and none that is forged") {
  auto report = well();
  for (int number = 10; number < 40; ++number) report.troubles.insert("trouble " + std::to_string(number));
  report.troubles.insert("a\nok\x1b[31m");
  CHECK(health(report, now).text ==
        "a\\x0aok\\x1b[31m\ntrouble 10\ntrouble 11\ntrouble 12\ntrouble 13\ntrouble 14\ntrouble 15\n"
        "trouble 16\ntrouble 17\ntrouble 18\nand 21 more\n");
  CHECK(as_line(std::string(10'000, 'x')).size() < 4000);
  CHECK(as_line(std::string(3499, 'x') + "\u00e9" + std::string(100, 'x')) == std::string(3499, 'x') + "...");
}

TEST_CASE("only a loop that hangs is not alive") {
  auto report = well();
  report.troubles = {"config-wrong: network cbr0"};
  report.pass_began = now;
  CHECK(liveness(report, now + 5min).text == "ok\n");
  CHECK(liveness(report, now + 301s).text == "hangs: the agent's loop did not come round for 301 s\n");
}

TEST_CASE("what a scraper reads") {
  auto report = well();
  report.passes = 7;
  report.failed_passes = 1;
  report.changes = 5;
  report.drift_changes = 2;
  report.last_pass_at = 1700000000;
  report.last_right_at = 1600000000;
  report.attachments = {{"cbr0", 3}};
  report.has_wrong_config = {{"cbr0", true}, {"other", false}};
  report.has_wrong_copy = false;
  report.policies = {{"cbr0", {{"partner", 2}, {"spare", 0}}}};
  CHECK(metrics(report, "1.2.3") ==
        R"(# HELP ip_masq_build_info The version that runs.
# TYPE ip_masq_build_info gauge
ip_masq_build_info{version="1.2.3"} 1
# HELP ip_masq_passes_total Passes over all rules that came to their end.
# TYPE ip_masq_passes_total counter
ip_masq_passes_total 7
# HELP ip_masq_failed_passes_total Passes that could not be made, or left rules that are not as they are wanted.
# TYPE ip_masq_failed_passes_total counter
ip_masq_failed_passes_total 1
# HELP ip_masq_changes_total Changes of the kernel's rules.
# TYPE ip_masq_changes_total counter
ip_masq_changes_total 5
# HELP ip_masq_drift_changes_total Changes among them that put back what others changed.
# TYPE ip_masq_drift_changes_total counter
ip_masq_drift_changes_total 2
# HELP ip_masq_last_pass_timestamp_seconds When the last pass came to its end.
# TYPE ip_masq_last_pass_timestamp_seconds gauge
ip_masq_last_pass_timestamp_seconds 1700000000
# HELP ip_masq_last_success_timestamp_seconds When a pass last left all rules as they are wanted.
# TYPE ip_masq_last_success_timestamp_seconds gauge
ip_masq_last_success_timestamp_seconds 1600000000
# HELP ip_masq_resync_interval_seconds How often a pass is made where nothing happens.
# TYPE ip_masq_resync_interval_seconds gauge
ip_masq_resync_interval_seconds 60
# HELP ip_masq_troubles What is not as it should be; /healthz names it.
# TYPE ip_masq_troubles gauge
ip_masq_troubles 0
# HELP ip_masq_config_wrong Whether a network's configuration files are wrong, and what was good last is in force.
# TYPE ip_masq_config_wrong gauge
ip_masq_config_wrong{network="cbr0"} 1
ip_masq_config_wrong{network="other"} 0
# HELP ip_masq_config_copy_wrong Whether the file of --config-from is wrong, and its copy is the last good one.
# TYPE ip_masq_config_copy_wrong gauge
ip_masq_config_copy_wrong 0
# HELP ip_masq_attachments Attachments recorded, by network.
# TYPE ip_masq_attachments gauge
ip_masq_attachments{network="cbr0"} 3
# HELP ip_masq_policy_attachments Attachments that have a policy, by network and policy.
# TYPE ip_masq_policy_attachments gauge
ip_masq_policy_attachments{network="cbr0",policy="partner"} 2
ip_masq_policy_attachments{network="cbr0",policy="spare"} 0
)");
}

}  // namespace ipmasq::plugin
