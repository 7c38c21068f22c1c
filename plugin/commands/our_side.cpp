#include "plugin/commands/our_side.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cni/cache.hpp"
#include "config/in_force.hpp"
#include "config/netconf.hpp"
#include "error/error.hpp"
#include "netfilter/nftables_drops_beside.hpp"
#include "plugin/agent/adopt_pass.hpp"
#include "plugin/commands/pods_decided_over.hpp"
#include "plugin/verbs/first_pod.hpp"
#include "plugin/verbs/policies.hpp"

namespace ipmasq::plugin {

namespace {

using Lines = std::vector<std::string>;

class OurSide {
 public:
  OurSide(const state::Store& store, std::optional<Recorded> recorded, doctor::Facts& facts)
      : store_(store),
        is_read_(recorded.has_value()),
        recorded_(std::move(recorded).value_or(Recorded())),
        facts_(facts),
        ours_(facts.ours) {}

  void look_around() {
    for (const auto& [name, network] : recorded_) describe(name, network);
    for (const auto& list : facts_.node.lists) {
      if (list.is_loaded() && list.our_place()) describe(list);
    }
    ours_.of_two_networks = addresses_of_two_networks(recorded_);
    if (is_read_) find_unadopted();
    ours_.wanted = ruleset_of(recorded_);
    if (is_read_) ask_about_rules();
    if (recorded_.empty()) ask([this] { check_first_pod(kernel_); });
  }

 private:
  void describe(const std::string& name, const RecordedNetwork& network) {
    const auto subnets = network.stored.wanted_subnets();
    ours_.networks.push_back({name, network.backend(), {subnets.begin(), subnets.end()}});
    std::ranges::copy(network.stored.unread, std::back_inserter(facts_.not_looked));
    if (network.written_later) ours_.written_later.push_back(name + ": " + *network.written_later);
    for (const auto& problem : network.problems) ours_.damaged_records.push_back(name + ": " + problem);
    for (const auto& attachment : network.stored.attachments) {
      describe(name, attachment);
      if (network.configuration) describe_policy(name, attachment, network.configuration->netconf);
    }
    if (network.stored.record) {
      for (const auto& subnet : network.stored.record->unrecorded) unrecorded_.push_back({subnet, name});
    }
    if (network.stored.record && network.stored.record->placement.leaving) {
      ours_.on_their_way.push_back(name + ": from " +
                                   config::to_text(*network.stored.record->placement.leaving) + " to " +
                                   network.backend());
    }
    if (!network.configuration) return;
    describe_policies(name, network.configuration->netconf);
    ours_.networks.back().cluster_networks = network.configuration->made_of.cluster_networks;
    describe_files(name, network.configuration->problems, network.configuration->netconf.warnings,
                   ours_.wrong_files);
  }

  void describe_files(const std::string& network, const Lines& problems, const Lines& warnings,
                      Lines& wrong) {
    for (const auto& problem : problems) wrong.push_back(network + ": " + problem);
    for (const auto& warning : warnings) ours_.misspelt.push_back(network + ": " + warning);
  }

  // A network whose first pod is to come. What is wrong with the entry itself is told as of the list.
  void describe(const conflist::Network& list) {
    const auto& entry = list.plugins.at(*list.our_place());
    try {
      const auto state_dir = config::parse_state_dir(entry);
      if (state_dir != store_.folder()) {
        facts_.not_looked.push_back("network " + list.name + " is recorded in " + state_dir.string() +
                                    ", which --state-dir names");
        return;
      }
      if (recorded_.contains(list.name)) return;
      const auto reading = config::read_configuration(entry);
      const auto& netconf = reading.with_file ? *reading.with_file : reading.netconf;
      describe_policies(list.name, netconf);
      describe_files(list.name, reading.problems, netconf.warnings,
                     is_known_to_others(reading.netconf) ? ours_.wrong_files : ours_.wrong_from_the_start);
    } catch (const Error& error) {
      if (error.kind() != Kind::wrong_config) facts_.not_looked.emplace_back(error.what());
    }
  }

  // An ADD of a network without a record takes what another one knows of the same files.
  bool is_known_to_others(const config::Netconf& netconf) const {
    return std::ranges::any_of(recorded_, [&netconf](const auto& each) {
      const auto& theirs = each.second.configuration;
      return theirs && theirs->netconf.config_file == netconf.config_file &&
             theirs->netconf.subnet_file == netconf.subnet_file;
    });
  }

  void describe(const std::string& network, const state::Attachment& attachment) {
    ours_.containers.insert(attachment.id.container_id);
    auto text = attachment.pod.empty() ? attachment.id.container_id : attachment.pod;
    for (const auto& address : attachment.addresses) text += " " + net::to_text(address);
    if (attachment.bypasses_node) ours_.bypassing.push_back(network + ": " + text);
    ours_.networks.back().attachments.push_back({std::move(text), cni::cache_name(network, attachment.id)});
  }

  void describe_policies(const std::string& network, const config::Netconf& netconf) {
    for (const auto& policy : netconf.policies) {
      if (!policy.annotated.empty())
        ours_.asked_for_policies.push_back({network, policy.name, policy.annotated});
    }
  }

  void describe_policy(const std::string& network, const state::Attachment& attachment,
                       const config::Netconf& netconf) {
    const auto refused = policy_of(attachment, netconf).refused;
    if (refused.empty()) return;
    const auto pod = attachment.pod.empty() ? attachment.id.container_id : attachment.pod;
    ours_.refused_policies.push_back(network + ": " + pod + " asks for policy " + attachment.asks_for + ": " +
                                     refused);
  }

  void find_unadopted() {
    try {
      const auto found = look_for_unadopted(store_, facts_.node.conf_dir);
      for (const auto& network : found.networks) {
        if (!network.attachments.empty())
          std::ranges::copy(texts_of(network), std::back_inserter(ours_.not_adopted));
      }
      ours_.not_told = found.warnings;
      std::ranges::copy(found.not_seen, std::back_inserter(facts_.not_looked));
      std::ranges::copy_if(found.problems, std::back_inserter(ours_.not_told),
                           [this](const std::string& problem) { return !is_told(problem); });
    } catch (const Error& error) {
      ours_.not_told.emplace_back(error.what());
    }
  }

  // As what is wrong with a file or an entry, which keeps pods from being told of as well.
  bool is_told(const std::string& problem) const {
    const auto ends = [&problem](const std::string& reason) { return problem.ends_with(reason); };
    for (const auto& list : facts_.node.lists) {
      if (list.is_loaded() && std::ranges::any_of(conflist::why_add_would_fail(list), ends)) return true;
    }
    const auto is_the_same = [&problem](const std::string& line) {
      const auto told = line.find(": ");
      return told != std::string::npos && problem.ends_with(line.substr(told));
    };
    return std::ranges::any_of(ours_.wrong_files, is_the_same) ||
           std::ranges::any_of(ours_.wrong_from_the_start, is_the_same);
  }

  // What the kernel does not have, or refuses, keeps every ADD from working; anything else keeps us from
  // looking.
  void ask(const std::function<void()>& question) {
    try {
      question();
    } catch (const Error& error) {
      const bool is_answer = error.kind() == Kind::absent || error.kind() == Kind::refused;
      auto& lines = is_answer ? ours_.unavailable : facts_.not_looked;
      if (std::ranges::find(lines, error.what()) == lines.end()) lines.emplace_back(error.what());
    }
  }

  void ask_about_rules() {
    ask([this] {
      for (const auto& source : unrecorded_sources({kernel_, store_, {}}, recorded_)) {
        unrecorded_.push_back(source);
        const auto network = recorded_.find(source.network);
        if (network != recorded_.end() && network->second.stored.record)
          network->second.stored.record->unrecorded.insert(source.prefix);  // they stay
      }
    });
    for (const auto& source : unrecorded_) tell_unrecorded(source);
    for (const auto backend : config::all_backends) ask([this, backend] { ask_of(backend); });
  }

  void tell_unrecorded(const nat::Source& source) {
    const auto line = net::to_text(source.prefix) + ", network " + source.network;
    Lines pods;
    ask([&] { pods = pods_decided_over({kernel_, store_, {}}, recorded_, source); });
    if (pods.empty()) ours_.unrecorded.push_back(line);
    for (const auto& pod : pods) ours_.unrecorded_deciding.push_back(line + ": decides over " + pod);
  }

  void ask_of(config::Backend backend) {
    const bool is_used = std::ranges::any_of(recorded_, [backend](const auto& network) {
      return network.second.stored.record && network.second.stored.record->placement.on == backend;
    });
    const auto opened = kernel_.open(backend, std::chrono::nanoseconds{0});
    // Somebody may have restored rules of ours where none are wanted.
    if (!is_used && !opened->may_hold_rules()) return;
    const auto wanted = ruleset_of(recorded_, backend);
    if (recorded_.empty()) {
      const auto left = opened->sources().empty() ? opened->differences(wanted) : Lines();
      std::ranges::copy(left, std::back_inserter(ours_.left_behind));
      return;
    }
    std::ranges::copy(opened->differences(wanted), std::back_inserter(ours_.differences));
    if (!is_used) return;
    opened->check(wanted);
    if (backend == config::Backend::iptables) tell_not_dropped(wanted);
  }

  void tell_not_dropped(const nat::Ruleset& wanted) {
    const auto reason = netfilter::why_not_dropped(wanted);
    if (!reason) return;
    std::set<std::string> networks;
    for (const auto& chain : wanted.chains) {
      if (chain.drops_invalid) networks.insert(chain.network);
    }
    for (const auto& network : networks) ours_.not_dropped.push_back(network + ": " + reason->what());
  }

  const state::Store& store_;
  bool is_read_;
  Recorded recorded_;
  std::vector<nat::Source> unrecorded_;
  netfilter::RealKernel kernel_;
  doctor::Facts& facts_;
  doctor::Ours& ours_;
};

}  // namespace

void look_at_our_side(const state::Store& store, std::optional<Recorded> recorded, doctor::Facts& facts) {
  OurSide(store, std::move(recorded), facts).look_around();
}

}  // namespace ipmasq::plugin
