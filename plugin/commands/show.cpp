#include <unistd.h>

#include <algorithm>
#include <iomanip>
#include <iterator>
#include <ostream>

#include "cni/json.hpp"
#include "config/netconf.hpp"
#include "nat/foreign_rule.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/json_output.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

namespace {

using netfilter::CountedRule;

// What `show` tells, however it is printed.
struct Picture {
  Recorded recorded;
  std::vector<nat::Source> unrecorded;
  std::vector<CountedRule> rules;
};

Picture look(const std::filesystem::path& state_dir) {
  const state::Store store(state_dir);
  netfilter::RealKernel kernel;
  const Node node{kernel, store, {}};
  Picture picture{.recorded = read_recorded(store), .unrecorded = {}, .rules = {}};
  picture.unrecorded = unrecorded_sources(node, picture.recorded);
  for (const auto backend : config::all_backends) {
    auto* const opened = node.open(backend);
    if (opened->may_hold_rules()) std::ranges::move(opened->rules(), std::back_inserter(picture.rules));
  }
  return picture;
}

std::vector<std::string> texts_of(const std::set<net::Prefix>& subnets) {
  std::vector<std::string> texts;
  texts.reserve(subnets.size());
  for (const auto& subnet : subnets) texts.push_back(net::to_text(subnet));
  return texts;
}

std::vector<std::string> problems_of(const RecordedNetwork& network) {
  auto problems = network.problems;
  if (network.written_later) problems.push_back(*network.written_later);
  problems.insert(problems.end(), network.stored.unread.begin(), network.stored.unread.end());
  if (!network.configuration) return problems;
  for (const auto& problem : config::problems_of(*network.configuration))
    problems.push_back("what was good last is in force: " + problem);
  return problems;
}

// Of a pod of the network, whose configuration may not be known.
config::PolicyChoice choice_of(const state::Attachment& attachment, const RecordedNetwork& network) {
  if (!network.configuration) return {};
  return policy_of(attachment, *config::netconf_of(network.configuration));
}

// Else it was chosen since the rules were made.
bool is_in_force(const state::Attachment& attachment, const RecordedNetwork& network) {
  return std::ranges::find(network.led_anew, attachment.id, &state::Attachment::id) == network.led_anew.end();
}

std::size_t pods_with(const std::string& policy, const RecordedNetwork& network) {
  const auto& attachments = network.stored.attachments;
  return static_cast<std::size_t>(std::ranges::count(attachments, policy, &state::Attachment::policy));
}

cni::Json to_json(const state::Attachment& attachment, const RecordedNetwork& network) {
  auto addresses = cni::Json::array();
  for (const auto& address : attachment.addresses) addresses.push_back(net::to_text(address));
  cni::Json json{{"containerID", attachment.id.container_id},
                 {"ifname", attachment.id.interface},
                 {"addresses", addresses}};
  if (!attachment.pod.empty()) json["pod"] = attachment.pod;
  if (attachment.bypasses_node) json["bypassesNode"] = true;
  const auto choice = choice_of(attachment, network);
  if (choice.policy != nullptr) json["policy"] = {{"name", choice.policy->name}, {"by", choice.by}};
  if (choice.policy != nullptr && !is_in_force(attachment, network)) json["policy"]["isInForce"] = false;
  if (!attachment.asks_for.empty()) json["asksFor"] = attachment.asks_for;
  if (!choice.refused.empty()) json["refused"] = choice.refused;
  return json;
}

cni::Json to_json(const std::string& name, const RecordedNetwork& network) {
  auto attachments = cni::Json::array();
  for (const auto& attachment : network.stored.attachments)
    attachments.push_back(to_json(attachment, network));
  cni::Json json{{"name", name},
                 {"backend", network.backend()},
                 {"podSubnets", texts_of(network.stored.wanted_subnets())},
                 {"attachments", attachments}};
  if (network.configuration) {
    for (const auto& policy : config::netconf_of(network.configuration)->policies) {
      json["policies"].push_back({{"name", policy.name},
                                  {"namespaces", policy.namespaces},
                                  {"annotated", policy.annotated},
                                  {"pods", pods_with(policy.name, network)}});
    }
  }
  const auto& record = network.stored.record;
  if (record && record->placement.leaving) json["leaving"] = config::to_text(*record->placement.leaving);
  if (record && !record->unrecorded.empty()) json["unrecorded"] = texts_of(record->unrecorded);
  if (const auto problems = problems_of(network); !problems.empty()) json["problems"] = problems;
  return json;
}

cni::Json to_json(const Picture& picture) {
  auto networks = cni::Json::array();
  for (const auto& [name, network] : picture.recorded) networks.push_back(to_json(name, network));
  auto rules = cni::Json::array();
  for (const auto& rule : picture.rules) {
    rules.push_back(
        {{"program", rule.program}, {"rule", rule.text}, {"packets", rule.packets}, {"bytes", rule.bytes}});
  }
  cni::Json json{{"networks", networks}, {"rules", rules}};
  for (const auto& source : picture.unrecorded) {
    json["unrecorded"].push_back({{"network", source.network}, {"podSubnet", net::to_text(source.prefix)}});
  }
  return json;
}

void print(const state::Attachment& attachment, const RecordedNetwork& network, std::ostream& output) {
  output << "  attachment " << attachment.id.container_id << ' ' << attachment.id.interface << ':';
  for (const auto& address : attachment.addresses) output << ' ' << net::to_text(address);
  if (!attachment.pod.empty()) output << " (" << attachment.pod << ')';
  if (attachment.bypasses_node) output << ", whose packets do not pass this node";
  const auto choice = choice_of(attachment, network);
  if (choice.policy != nullptr) output << ", policy " << choice.policy->name << " (" << choice.by << ')';
  if (choice.policy != nullptr && !is_in_force(attachment, network))
    output << ", not in force yet: ip-masq sync brings it";
  if (!choice.refused.empty()) {
    output << ", asks for policy " << nat::printable(attachment.asks_for)
           << " and does not have it: " << nat::printable(choice.refused);
  }
  output << '\n';
}

void print(const std::string& name, const RecordedNetwork& network, std::ostream& output) {
  const auto& record = network.stored.record;
  output << "network " << name << " (" << network.backend();
  if (record && record->placement.leaving)
    output << ", on its way from " << config::to_text(*record->placement.leaving);
  output << ")\n";
  for (const auto& subnet : texts_of(network.stored.wanted_subnets()))
    output << "  pod subnet " << subnet << '\n';
  if (network.configuration) {
    for (const auto& policy : config::netconf_of(network.configuration)->policies)
      output << "  policy " << policy.name << ": pods with it: " << pods_with(policy.name, network) << '\n';
  }
  for (const auto& attachment : network.stored.attachments) print(attachment, network, output);
  if (record) {
    for (const auto& subnet : texts_of(record->unrecorded))
      output << "  pods of " << subnet << " may live whose record was lost\n";
  }
  for (const auto& problem : problems_of(network)) output << "  problem: " << nat::printable(problem) << '\n';
}

// Columns on a terminal, tabs elsewhere.
void print(const std::vector<CountedRule>& rules, std::ostream& output) {
  const bool in_columns = ::isatty(STDOUT_FILENO) == 1;
  const int width = in_columns ? 12 : 0;
  const char* const gap = in_columns ? "  " : "\t";
  if (in_columns) output << std::setw(width) << "packets" << std::setw(width) << "bytes" << gap << "rule\n";
  for (const auto& rule : rules) {
    output << std::setw(width) << rule.packets << (in_columns ? "" : gap) << std::setw(width) << rule.bytes
           << gap << rule.program << ' ' << nat::printable(rule.text) << '\n';
  }
}

}  // namespace

void show(const std::filesystem::path& state_dir, OutputFormat format, std::ostream& output) {
  const auto picture = look(state_dir);
  if (format == OutputFormat::json) {
    print_json(to_json(picture), output);
    return;
  }
  for (const auto& [name, network] : picture.recorded) print(name, network, output);
  if (picture.recorded.empty()) output << "nothing is recorded in " << state_dir.string() << '\n';
  for (const auto& source : picture.unrecorded) {
    output << "network " << source.network << ": nothing is recorded of it, but rules of "
           << net::to_text(source.prefix) << " stand\n";
  }
  print(picture.rules, output);
}

}  // namespace ipmasq::plugin
