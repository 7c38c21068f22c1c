#include "nat/source_nat.hpp"

namespace ipmasq::nat {

namespace {

void append_rules(const std::optional<std::string>& out_interface, const std::optional<net::Range>& to,
                  const Translation& translation, std::vector<SourceNatRule>& rules) {
  for (const auto protocol : protocols_with_ports) {
    std::uint32_t left = 0;
    for (const auto& range : translation.to_ports) left += range.size();
    for (const auto& range : translation.to_ports) {
      rules.push_back({out_interface, protocol, range.size(), left, {to, range, translation.random_fully}});
      left -= range.size();
    }
  }
  rules.push_back({out_interface, {}, 0, 0, {to, {}, translation.random_fully}});
}

}  // namespace

std::vector<SourceNatRule> source_nat_rules(const Translation& translation) {
  std::vector<SourceNatRule> rules;
  for (const auto& [interface, to] : translation.snat_to_by_interface)
    append_rules(interface, to, translation, rules);
  append_rules({}, translation.snat_to, translation, rules);
  return rules;
}

}  // namespace ipmasq::nat
