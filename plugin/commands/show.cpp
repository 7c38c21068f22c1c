#include <unistd.h>

#include <iomanip>
#include <ostream>

#include "cni/json.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/verbs/node_rules.hpp"

namespace ipmasq::plugin {

namespace {

using netfilter::CountedRule;

// What `show` tells, however it is printed.
struct Picture {
  Recorded recorded;
  Wanted wanted;
  std::vector<CountedRule> rules;
};

Picture look(const std::filesystem::path& state_dir) {
  Picture picture;
  const state::Store store(state_dir);
  picture.recorded = store.load();
  picture.wanted = wanted_of(picture.recorded);
  netfilter::RealKernel kernel;
  picture.rules = NodeRules(kernel, store, std::chrono::nanoseconds{0}).rules(picture.wanted);
  return picture;
}

std::string backend_of(const state::Network& network) {
  return network.record ? network.record->backend : "";
}

std::vector<std::string> pod_subnets_of(const Picture& picture, const std::string& network) {
  std::vector<std::string> subnets;
  for (const auto& subnet : picture.wanted.all().pod_subnets) {
    if (subnet.network == network) subnets.push_back(net::to_text(subnet.prefix));
  }
  return subnets;
}

cni::Json to_json(const state::Attachment& attachment) {
  auto addresses = cni::Json::array();
  for (const auto& address : attachment.addresses) addresses.push_back(net::to_text(address));
  cni::Json json{{"containerID", attachment.id.container_id},
                 {"ifname", attachment.id.interface},
                 {"addresses", addresses}};
  if (!attachment.pod.empty()) json["pod"] = attachment.pod;
  return json;
}

cni::Json to_json(const Picture& picture) {
  auto networks = cni::Json::array();
  for (const auto& [name, network] : picture.recorded) {
    auto attachments = cni::Json::array();
    for (const auto& attachment : network.attachments) attachments.push_back(to_json(attachment));
    cni::Json json{{"name", name},
                   {"backend", backend_of(network)},
                   {"podSubnets", pod_subnets_of(picture, name)},
                   {"attachments", attachments}};
    const auto problem = picture.wanted.problems().find(name);
    if (problem != picture.wanted.problems().end()) json["problem"] = problem->second;
    networks.push_back(json);
  }
  auto rules = cni::Json::array();
  for (const auto& rule : picture.rules) {
    rules.push_back(
        {{"program", rule.program}, {"rule", rule.text}, {"packets", rule.packets}, {"bytes", rule.bytes}});
  }
  return {{"networks", networks}, {"rules", rules}};
}

void print(const state::Network& network, const Picture& picture, std::ostream& output) {
  output << "network " << network.name << " (" << backend_of(network) << ")\n";
  for (const auto& subnet : pod_subnets_of(picture, network.name))
    output << "  pod subnet " << subnet << '\n';
  for (const auto& attachment : network.attachments) {
    output << "  attachment " << attachment.id.container_id << ' ' << attachment.id.interface << ':';
    for (const auto& address : attachment.addresses) output << ' ' << net::to_text(address);
    if (!attachment.pod.empty()) output << " (" << attachment.pod << ')';
    output << '\n';
  }
  const auto problem = picture.wanted.problems().find(network.name);
  if (problem != picture.wanted.problems().end()) output << "  problem: " << problem->second << '\n';
}

// Columns on a terminal, tabs elsewhere.
void print(const std::vector<CountedRule>& rules, std::ostream& output) {
  const bool in_columns = ::isatty(STDOUT_FILENO) == 1;
  const int width = in_columns ? 12 : 0;
  const char* const gap = in_columns ? "  " : "\t";
  if (in_columns) output << std::setw(width) << "packets" << std::setw(width) << "bytes" << gap << "rule\n";
  for (const auto& rule : rules) {
    output << std::setw(width) << rule.packets << (in_columns ? "" : gap) << std::setw(width) << rule.bytes
           << gap << rule.program << ' ' << rule.text << '\n';
  }
}

}  // namespace

void show(const std::filesystem::path& state_dir, OutputFormat format, std::ostream& output) {
  const auto picture = look(state_dir);
  if (format == OutputFormat::json) {
    output << to_json(picture).dump(2) << '\n';
    return;
  }
  for (const auto& [name, network] : picture.recorded) print(network, picture, output);
  if (picture.recorded.empty()) output << "nothing is recorded in " << state_dir.string() << '\n';
  print(picture.rules, output);
}

}  // namespace ipmasq::plugin
