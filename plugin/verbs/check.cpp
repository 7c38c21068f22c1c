#include <algorithm>
#include <ostream>

#include "cni/result.hpp"
#include "config/in_force.hpp"
#include "error/error.hpp"
#include "nat/contradictions.hpp"
#include "nat/foreign_rule.hpp"
#include "netfilter/foreign_rules.hpp"
#include "plugin/verbs/met_first.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/verbs.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

constexpr auto add_again = "an ADD of the same container records it";
constexpr auto mended_by = "ip-masq sync, or the next ADD, mends it";

std::string text_of(const std::vector<net::InterfaceAddress>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : ", ") + net::to_text(address);
  return text;
}

state::Attachment recorded_attachment(const state::Store& store, const cni::Request& request,
                                      const std::vector<net::InterfaceAddress>& addresses) {
  const cni::AttachmentId id{request.environment.container_id, request.environment.interface};
  const auto who = "the attachment of " + id.container_id + " (" + id.interface + ") to " + request.network;
  auto attachment = store.attachment(request.network, id);
  if (!attachment) throw Error(Kind::not_right, who + " is not recorded", add_again);
  if (addresses != attachment->addresses) {
    throw Error(Kind::not_right,
                who + " is recorded with " + text_of(attachment->addresses) + ", prevResult has " +
                    text_of(addresses),
                "an ADD of the same container records it anew");
  }
  return *std::move(attachment);
}

state::NetworkRecord recorded_network(const state::Store& store, const std::string& network) {
  try {
    if (auto record = store.record(network)) return *std::move(record);
  } catch (const Error& error) {
    throw Error(Kind::not_right, "network " + network + ": " + error.what(), mended_by);
  }
  throw Error(Kind::not_right, "network " + network + ": its configuration is not recorded", mended_by);
}

// Where "auto" would be in another back end by now: rules of ours that stand as they should can be undone
// all the same.
void check_that_they_hold(const Node& node, const Plan& plan, const state::NetworkRecord& record,
                          const state::Attachment& attachment) {
  const auto now = choose_backend(node, plan, record, netfilter::Tables::stay);
  if (now == record.placement.on) return;
  const auto& netconf = plan.configuration->netconf;
  const auto* const policy = policy_of(attachment, netconf).policy;
  const config::PodKeys& keys = policy != nullptr ? policy->keys : netconf;
  const nat::OurPlace place{record.placement.on == config::Backend::nftables, netconf.yield_marks,
                            keys.exemption == config::Exemption::hold};
  const auto foreign = netfilter::foreign_rules();
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    nat::Flow flow;
    for (const auto& pod : attachment.addresses) {
      if (pod.address.family == family)
        flow.sources.push_back(net::network_of(pod.address, net::bits(family)));
    }
    if (flow.sources.empty()) continue;
    const auto found = nat::contradictions(foreign, place, flow);
    if (found.empty()) continue;
    throw Error(Kind::not_right,
                "the rules stand in " + config::to_text(record.placement.on) + ", where " +
                    nat::printable(found.front().rule) + " undoes them; \"auto\" is " + config::to_text(now) +
                    " here now",
                mended_by);
  }
}

// Two networks may be LANs with the same addresses, none of whose packets pass this node: no rule of ours is
// asked about either pod.
bool passes_node(const state::Store& store, const MetFirst& met) {
  if (!met.source || met.source->network.empty() || routing::has_own_way_to(met.address)) return true;
  const auto theirs = store.load(met.source->network).attachments;
  return std::ranges::none_of(theirs, [&met](const auto& each) { return each.has(met.address); });
}

}  // namespace

void check(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings) {
  const auto asked = config::parse_netconf(request.netconf);
  const auto addresses = cni::addresses(cni::prev_result(request.netconf), request.environment.interface);
  const state::Store store(asked.state_dir);
  if (!store.exists()) {
    throw Error(Kind::not_right, "nothing is recorded: there is no " + asked.state_dir.string(), add_again);
  }
  const Node node{kernel, store, asked.lock_timeout};
  const auto lock = node.lock_shared();
  const auto attachment = recorded_attachment(store, request, addresses);
  const auto record = recorded_network(store, request.network);

  Plan plan{request.network,
            config::in_force(config::read_configuration(record.made_of.netconf), record.made_of,
                             recorded_pods(store, request.network)),
            store.subnets(request.network),
            false,
            {},
            {attachment}};
  plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  plan.pod_subnets.insert(record.unrecorded.begin(), record.unrecorded.end());
  plan.shared_subnets = recorded_shared_subnets(store, request.network, record);
  lead_planned_by_policy(plan);
  for (const auto& problem : plan.configuration->problems)
    warnings << "ip-masq: " << nat::printable(problem) << '\n';

  const auto differences = node.open(record.placement.on)->differences(ruleset_of(plan));
  if (!differences.empty()) {
    const auto more = differences.size() - 1;
    throw Error(Kind::not_right,
                "the rules are not as they should be: " + differences.front() +
                    (more == 0 ? "" : " (and " + std::to_string(more) + " more)"),
                mended_by);
  }
  check_that_they_hold(node, plan, record, attachment);
  if (record.placement.leaving) {
    throw Error(Kind::not_right,
                "the rules of network " + request.network + " are still on their way from " +
                    config::to_text(*record.placement.leaving) + " to " +
                    config::to_text(record.placement.on),
                mended_by);
  }
  const auto other = met_first(node, plan, record.placement.on, attachment);
  if (other && passes_node(store, *other))
    throw Error(Kind::not_right, other->what(), other->help(record.placement.on));
  for (const auto backend : config::all_backends) {
    if (backend == record.placement.on || standing_in(node, backend, request.network).empty()) continue;
    throw Error(Kind::not_right,
                "rules of network " + request.network + " stand in " + config::to_text(backend) +
                    " as well, though it is on " + config::to_text(record.placement.on),
                mended_by);
  }
}

}  // namespace ipmasq::plugin
