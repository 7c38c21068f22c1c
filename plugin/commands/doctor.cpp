#include <ostream>

#include "doctor/findings.hpp"
#include "error/error.hpp"
#include "netfilter/foreign_rules.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/learned_routes.hpp"
#include "plugin/verbs/node_rules.hpp"

namespace ipmasq::plugin {

namespace {

doctor::Network network_of(const std::string& name, const state::Network& network) {
  doctor::Network found{name, network.record ? network.record->backend : "", {}};
  for (const auto& attachment : network.attachments) {
    found.pod_subnets.insert(found.pod_subnets.end(), attachment.pod_subnets.begin(),
                             attachment.pod_subnets.end());
  }
  return found;
}

doctor::Ours look_at_ourselves(const state::Store& store, const Recorded& recorded) {
  doctor::Ours ours;
  for (const auto& [name, network] : recorded) {
    ours.networks.push_back(network_of(name, network));
    for (const auto& attachment : network.attachments) ours.containers.insert(attachment.id.container_id);
  }
  const auto wanted = wanted_of(recorded);
  ours.wanted = wanted.all();
  ours.problems = wanted.problems();
  netfilter::RealKernel kernel;
  const NodeRules rules(kernel, store, std::chrono::nanoseconds{0});
  try {
    ours.differences = rules.differences(wanted);
    if (recorded.empty() && netfilter::foreign_nat_chains(1).empty())
      return ours;  // "auto" would make a legacy table
    kernel.open(rules.chosen(config::BackendChoice::automatic, recorded), std::chrono::nanoseconds{0})
        ->check_available();
  } catch (const Error& error) {
    ours.unavailable = error.what();
  }
  return ours;
}

// Where flannel's file is, as the first network says that has one recorded.
std::filesystem::path subnet_file_of(const Recorded& recorded) {
  for (const auto& [name, network] : recorded) {
    if (!network.record) continue;
    try {
      return config::parse_netconf(network.record->netconf).subnet_file;
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): told as a problem of that network
    }
  }
  return config::Netconf{}.subnet_file;
}

cni::Json to_json(const std::vector<doctor::Finding>& findings) {
  auto list = cni::Json::array();
  for (const auto& finding : findings) {
    list.push_back(
        {{"name", finding.name}, {"where", finding.where}, {"does", finding.does}, {"fix", finding.fix}});
  }
  return {{"findings", list}};
}

void print(const std::vector<doctor::Finding>& findings, std::ostream& output) {
  for (const auto& finding : findings) {
    output << finding.name << ": " << finding.does << '\n';
    for (const auto& place : finding.where) output << "  found: " << place << '\n';
    for (const auto& fix : finding.fix) output << "  fix:   " << fix << '\n';
  }
  if (findings.empty()) output << "nothing found that hides pods or could undo an exemption\n";
}

}  // namespace

bool diagnose(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir,
              OutputFormat format, std::ostream& output) {
  const state::Store store(state_dir);
  const auto recorded = store.load();
  doctor::Facts facts{look_at_ourselves(store, recorded),
                      doctor::read_surroundings(conf_dir, subnet_file_of(recorded))};
  constexpr std::size_t all = 10'000;
  facts.node.nat_chains = netfilter::foreign_nat_chains(all);
  facts.node.ospf_routes = ospf_routes();
  facts.node.rules = netfilter::foreign_nftables_rules();
  for (auto& rule : netfilter::foreign_iptables_rules()) facts.node.rules.push_back(std::move(rule));
  const auto findings = doctor::examine(facts);
  if (format == OutputFormat::json) {
    output << to_json(findings).dump(2) << '\n';
  } else {
    print(findings, output);
  }
  return findings.empty();
}

}  // namespace ipmasq::plugin
