#include "nat/source_nat.hpp"

namespace ipmasq::nat {

std::vector<SourceNatRule> source_nat_rules(const Translation& translation) {
  std::vector<SourceNatRule> rules;
  for (const auto protocol : protocols_with_ports) {
    std::uint32_t left = 0;
    for (const auto& range : translation.to_ports) left += range.size();
    for (const auto& range : translation.to_ports) {
      rules.push_back({protocol, range.size(), left, {translation.snat_to, range, translation.random_fully}});
      left -= range.size();
    }
  }
  rules.push_back({{}, 0, 0, {translation.snat_to, {}, translation.random_fully}});
  return rules;
}

}  // namespace ipmasq::nat
