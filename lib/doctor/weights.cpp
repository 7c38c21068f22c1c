#include "doctor/weights.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <unordered_map>

#include "doctor/flows.hpp"

namespace ipmasq::doctor {

namespace {

// Whose rules, each told by its text.
constexpr std::array<std::string_view, 7> of_others{
    "docker-masquerade",     "flannel-masquerade",     "bridge-masquerade",   "bridge-masquerade-leftover",
    "ip-masq-agent-running", "ip-masq-agent-leftover", "rules-of-ours-copied"};

// Where any rule may decide that stands there.
constexpr std::array<std::string_view, 4> of_places{"undone-by-nftables", "nat-chain-before-ours",
                                                    "both-iptables-in-use", "jump-not-first"};

template <typename Names>
bool is_among(const Names& names, const Finding& finding) {
  return std::ranges::find(names, finding.name) != names.end();
}

class Scales {
 public:
  explicit Scales(const Facts& facts) : facts_(facts) {
    for (const auto& rule : facts.node.foreign.rules) {
      if (rule.is_jump || rule.translates()) rules_.emplace(nat::to_text(rule), &rule);
    }
    for (const auto& each : contradictions_for_all_pods(facts)) {
      using Kind = nat::Contradiction::Kind;
      if (each.kind == Kind::translated_by_others || each.kind == Kind::passed_by)
        deciding_.insert(each.rule);
    }
  }

  Weight of_place() const { return deciding_.empty() ? Weight::note : Weight::hurts; }

  Weight of_rules(const Finding& finding) const {
    if (decides(finding)) return Weight::hurts;
    const auto concerned = std::ranges::count_if(
        finding.where, [this](const std::string& place) { return concerns_our_pods(place); });
    if (concerned == std::ranges::ssize(finding.where)) return Weight::held;
    if (finding.name != "docker-masquerade") return Weight::hurts;
    return concerned > 0 ? Weight::held : Weight::note;  // the rest hides docker's own alone
  }

 private:
  // Whether a rule of the finding, or one that it leads to, decides for our pods.
  bool decides(const Finding& finding) const {
    std::set<std::string_view> chains;
    for (const auto& place : finding.where) {
      if (deciding_.contains(place)) return true;
      const auto rule = rules_.find(place);
      if (rule != rules_.end() && rule->second->is_jump) chains.insert(rule->second->target);
    }
    return std::ranges::any_of(deciding_, [&](const std::string& text) {
      const auto rule = rules_.find(text);
      return rule != rules_.end() && chains.contains(rule->second->chain);
    });
  }

  // Of what is no rule, or asks for no source, it may.
  bool concerns_our_pods(const std::string& place) const {
    const auto rule = rules_.find(place);
    if (rule == rules_.end() || !rule->second->source || rule->second->source->inverted) return true;
    const auto& source = rule->second->source->value;
    return std::ranges::any_of(facts_.ours.networks, [&source](const Network& network) {
      return std::ranges::any_of(network.pod_subnets, [&source](const net::Prefix& subnet) {
        return subnet.contains(source) || source.contains(subnet);
      });
    });
  }

  const Facts& facts_;
  std::unordered_map<std::string, const nat::ForeignRule*> rules_;
  std::set<std::string> deciding_;
};

}  // namespace

void weigh(const Facts& facts, Findings& findings) {
  const bool has_pods = std::ranges::any_of(
      facts.ours.networks, [](const Network& network) { return !network.pod_subnets.empty(); });
  const Scales scales(facts);
  for (auto& finding : findings) {
    if (is_among(of_places, finding)) {
      finding.weight = scales.of_place();
    } else if (is_among(of_others, finding) && has_pods) {
      finding.weight = scales.of_rules(finding);
    }
  }
}

}  // namespace ipmasq::doctor
