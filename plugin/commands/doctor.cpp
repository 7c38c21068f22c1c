#include <algorithm>
#include <ostream>
#include <utility>

#include "doctor/findings.hpp"
#include "error/error.hpp"
#include "netfilter/foreign_rules.hpp"
#include "plugin/agent/adopt_pass.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/verbs/first_pod.hpp"
#include "plugin/verbs/recorded.hpp"
#include "routing/learned_routes.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

// Fills in what doctor is to know of ourselves.
class OurSide {
 public:
  OurSide(const state::Store& store, Recorded recorded, const std::filesystem::path& conf_dir)
      : store_(store), recorded_(std::move(recorded)), conf_dir_(conf_dir) {}

  doctor::Ours look() {
    for (const auto& [name, network] : recorded_) describe(name, network);
    find_unadopted();
    ours_.wanted = ruleset_of(recorded_);
    try {
      ask_kernel();
    } catch (const Error& error) {
      if (error.kind() != Kind::absent && error.kind() != Kind::refused) throw;
      ours_.unavailable.emplace_back(error.what());
    }
    return std::move(ours_);
  }

 private:
  void describe(const std::string& name, const RecordedNetwork& network) {
    const auto subnets = network.stored.wanted_subnets();
    ours_.networks.push_back({name, network.backend(), {subnets.begin(), subnets.end()}});
    for (const auto& problem : network.problems) ours_.damaged_records.push_back(name + ": " + problem);
    for (const auto& attachment : network.stored.attachments) describe(name, attachment);
    if (network.stored.record) {
      for (const auto& subnet : network.stored.record->unrecorded)
        ours_.unrecorded.push_back(net::to_text(subnet) + ", network " + name);
    }
    if (network.stored.record && network.stored.record->placement.leaving) {
      ours_.on_their_way.push_back(name + ": from " +
                                   config::to_text(*network.stored.record->placement.leaving) + " to " +
                                   network.backend());
    }
    if (!network.configuration) return;
    for (const auto& problem : network.configuration->problems)
      ours_.wrong_files.push_back(name + ": " + problem);
    for (const auto& warning : network.configuration->netconf.warnings)
      ours_.misspelt.push_back(name + ": " + warning);
  }

  void describe(const std::string& network, const state::Attachment& attachment) {
    ours_.containers.insert(attachment.id.container_id);
    if (!attachment.bypasses_node) return;
    auto line = network + ": " + (attachment.pod.empty() ? attachment.id.container_id : attachment.pod);
    for (const auto& address : attachment.addresses) line += " " + net::to_text(address);
    ours_.bypassing.push_back(line);
  }

  void find_unadopted() {
    try {
      const auto found = look_for_unadopted(store_, conf_dir_);
      for (const auto& network : found.networks) {
        if (!network.attachments.empty())
          std::ranges::copy(texts_of(network), std::back_inserter(ours_.not_adopted));
      }
      ours_.not_told = found.warnings;
      std::ranges::copy(found.problems, std::back_inserter(ours_.not_told));
    } catch (const Error& error) {
      ours_.not_told.emplace_back(error.what());
    }
  }

  void ask_kernel() {
    for (const auto& source : unrecorded_sources(kernel_, recorded_)) {
      ours_.unrecorded.push_back(net::to_text(source.prefix) + ", network " + source.network);
      const auto network = recorded_.find(source.network);
      if (network != recorded_.end() && network->second.stored.record)
        network->second.stored.record->unrecorded.insert(source.prefix);  // they stay
    }
    for (const auto backend : config::all_backends) {
      const auto is_on = [backend](const auto& network) {
        return network.second.stored.record && network.second.stored.record->placement.on == backend;
      };
      const bool is_used = std::ranges::any_of(recorded_, is_on);
      const auto opened = kernel_.open(backend, std::chrono::nanoseconds{0});
      // Somebody may have restored rules of ours where none are wanted.
      if (!is_used && (recorded_.empty() || !opened->may_hold_rules())) continue;
      const auto wanted = ruleset_of(recorded_, backend);
      std::ranges::copy(opened->differences(wanted), std::back_inserter(ours_.differences));
      if (is_used) opened->check(wanted);
    }
    if (recorded_.empty()) check_first_pod(kernel_);
  }

  const state::Store& store_;
  Recorded recorded_;
  const std::filesystem::path& conf_dir_;
  netfilter::RealKernel kernel_;
  doctor::Ours ours_;
};

// By which devices the pods' packets come: one pod of each subnet tells. None where one cannot.
std::set<std::string> pod_devices_of(const Recorded& recorded) {
  std::set<net::Prefix> asked;
  std::set<std::string> devices;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      for (const auto& pod : attachment.addresses) {
        if (!asked.insert(pod.network()).second) continue;
        const auto interface = routing::interface_towards(pod.address);
        if (!interface) return {};
        devices.merge(routing::devices_of(*interface));
      }
    }
  }
  return devices;
}

// Where flannel's file is, as the first network says that has one recorded.
std::filesystem::path subnet_file_of(const Recorded& recorded) {
  for (const auto& [name, network] : recorded) {
    if (network.configuration) return network.configuration->netconf.subnet_file;
  }
  return config::Netconf{}.subnet_file;
}

std::string text_of(doctor::Weight weight) {
  return weight == doctor::Weight::hurts ? "hurts" : "note";
}

cni::Json to_json(const std::vector<doctor::Finding>& findings) {
  auto list = cni::Json::array();
  for (const auto& finding : findings) {
    list.push_back({{"name", finding.name},
                    {"weight", text_of(finding.weight)},
                    {"where", finding.where},
                    {"does", finding.does},
                    {"fix", finding.fix}});
  }
  return {{"findings", list}};
}

void print(const std::vector<doctor::Finding>& findings, std::ostream& output) {
  for (const auto& finding : findings) {
    output << finding.name << (finding.weight == doctor::Weight::note ? " (note)" : "") << ": "
           << finding.does << '\n';
    for (const auto& place : finding.where) output << "  found: " << place << '\n';
    for (const auto& fix : finding.fix) output << "  fix:   " << fix << '\n';
  }
  if (findings.empty()) output << "nothing found that hides pods or could undo an exemption\n";
}

}  // namespace

bool diagnose(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir,
              OutputFormat format, std::ostream& output) {
  const state::Store store(state_dir);
  const auto recorded = read_recorded(store);
  doctor::Facts facts{OurSide(store, recorded, conf_dir).look(),
                      doctor::read_surroundings(conf_dir, subnet_file_of(recorded))};
  facts.node.foreign = netfilter::foreign_rules();
  for (const auto& address : routing::node_addresses()) facts.node.addresses.insert(address);
  facts.node.pod_devices = pod_devices_of(recorded);
  facts.node.ospf_routes = routing::ospf_routes();
  const auto findings = doctor::examine(facts);
  if (format == OutputFormat::json) {
    output << to_json(findings).dump(2, ' ', false, cni::Json::error_handler_t::replace) << '\n';
  } else {
    print(findings, output);
  }
  return std::ranges::none_of(findings,
                              [](const auto& each) { return each.weight == doctor::Weight::hurts; });
}

}  // namespace ipmasq::plugin
