#include "plugin/agent/agent_report.hpp"

#include <string_view>

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

}  // namespace

std::string health(const AgentReport& report) {
  if (report.troubles.empty()) return "ok\n";
  std::string text;
  for (const auto& trouble : report.troubles) text += trouble + "\n";
  return text;
}

std::string metrics(const AgentReport& report, const std::string& version) {
  Exposition page;
  page.metric("ip_masq_build_info", "gauge", "The version that runs.")
      .value(1, "{version=\"" + version + "\"}");
  page.metric("ip_masq_passes_total", "counter", "Passes over all rules that came to their end.")
      .value(report.passes);
  page.metric("ip_masq_failed_passes_total", "counter", "Passes that could not be made.")
      .value(report.failed_passes);
  page.metric("ip_masq_changes_total", "counter", "Changes of the kernel's rules.").value(report.changes);
  page.metric("ip_masq_last_pass_timestamp_seconds", "gauge", "When the last pass came to its end.")
      .value(report.last_pass_at);
  page.metric("ip_masq_troubles", "gauge", "What is not as it should be; /healthz names it.")
      .value(report.troubles.size());
  page.metric("ip_masq_attachments", "gauge", "Attachments recorded, by network.");
  // A network's name has no character that a label would have to escape.
  for (const auto& [network, count] : report.attachments) page.value(count, "{network=\"" + network + "\"}");
  return page.text();
}

}  // namespace ipmasq::plugin
