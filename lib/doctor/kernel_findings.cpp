#include "doctor/kernel_findings.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "doctor/cut_off_findings.hpp"
#include "doctor/flows.hpp"
#include "doctor/ipsec_findings.hpp"
#include "nat/explain.hpp"
#include "net/range.hpp"

namespace ipmasq::doctor {

namespace {

using net::Family;

bool are_asked_for(const Facts& facts) {
  return !facts.ours.networks.empty() ||
         conflist::first_with(facts.node.lists, conflist::our_type) != nullptr;
}

// ---- forwarding

void find_no_forwarding(const Facts& facts, Findings& findings) {
  const auto off = [&findings](const char* name, const std::string& setting, Weight weight) {
    findings.push_back({name,
                        {setting + " = 0"},
                        "the kernel forwards nothing: pods reach nobody beyond this node, masqueraded or not",
                        {"sysctl -w " + setting + "=1",
                         "echo '" + setting + " = 1' >> /etc/sysctl.d/90-ip-masq.conf  # for the next boot"},
                        weight});
  };
  // Before the first pod most nodes are to have IPv4.
  if (!facts.node.forwards_ipv4 &&
      (facts.ours.networks.empty() || !pod_subnets_of(facts, Family::ipv4).empty()))
    off("ip-forward-off", "net.ipv4.ip_forward", are_asked_for(facts) ? Weight::hurts : Weight::note);
  if (!facts.node.forwards_ipv6 && !pod_subnets_of(facts, Family::ipv6).empty())
    off("ipv6-forwarding-off", "net.ipv6.conf.all.forwarding", Weight::hurts);
}

// Of IPv4 each interface can be told to forward nothing of what comes by it; of IPv6 none.
void find_interfaces_that_do_not_forward(const Facts& facts, Findings& findings) {
  if (!facts.node.forwards_ipv4) return;
  Finding finding{
      "interface-forwarding-off",
      {},
      "the kernel forwards nothing that comes by this interface: what pods send, or the answers to it",
      {}};
  std::set<std::string> asked;
  for (const auto& way : facts.node.ways) {
    if (way.pods.front().family() != Family::ipv4) continue;
    for (const auto& interface : {way.pod_interface, way.uplink}) {
      if (!interface || !facts.node.not_forwarding.contains(*interface) || !asked.insert(*interface).second)
        continue;
      // Of sysctl's names, a dot in an interface's is a slash.
      const auto setting = "net/ipv4/conf/" + *interface + "/forwarding";
      finding.where.push_back(setting + " = 0");
      const bool can_be_named =
          nat::printable(*interface) == *interface && interface->find('=') == std::string::npos;
      finding.fix.push_back(can_be_named ? "sysctl -w " + nat::shell_word(setting + "=1")
                                         : "# write 1 there: no command can name it");
    }
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

constexpr std::size_t most_drops_named = 8;

void find_forward_drops(const Facts& facts, Findings& findings) {
  Finding certain{
      "forward-drops-pods",
      {},
      "what pods send, or the answers to it, is dropped on this node",
      {"# its owner may put its own back: have it let pods through (ufw: ufw route allow from, and "
       "to, the pod subnet); until then:"}};
  auto maybe = certain;
  maybe.does =
      "may drop some of what pods send, or of the answers: ports, addresses, rates, or what cannot be told "
      "here, decide";
  maybe.fix = {"# nothing is wrong where that is meant; else have its owner spare the pods"};
  maybe.weight = Weight::note;
  std::size_t not_named = 0;
  for (const auto& drop : facts.node.drops) {
    auto& finding = drop.is_certain ? certain : maybe;
    const bool is_new = std::ranges::find(finding.where, drop.decides) == finding.where.end();
    if (drop.is_certain) {
      if (std::ranges::find(finding.fix, drop.fix) == finding.fix.end()) finding.fix.push_back(drop.fix);
    } else if (is_new && finding.where.size() == most_drops_named) {
      ++not_named;
      continue;
    }
    if (is_new) finding.where.push_back(drop.decides);  // a chain of both families once
  }
  if (not_named > 0) maybe.where.push_back("and " + std::to_string(not_named) + " more");
  for (auto* const finding : {&certain, &maybe}) {
    if (!finding->where.empty()) findings.push_back(std::move(*finding));
  }
}

std::string text_of(const NoWay& way) {
  const auto pods = doctor::text_of(way.pods);
  const auto to = way.to ? net::to_text(*way.to) : std::string("where no route of its own leads");
  const auto by = way.by.empty() ? std::string("no route leads there") : way.by;
  const auto packets = way.are_answers ? "answers" + (way.to ? " from " + to : "") + " to " + pods +
                                             (way.uplink.empty() ? "" : " by " + way.uplink)
                                       : "from " + pods + " to " + to;
  return packets + ": " + (way.is_certain ? "" : "some of them: ") + by;
}

void find_no_way(const Facts& facts, Findings& findings) {
  Finding missed{
      "pods-have-no-way",
      {},
      "this node does not forward what pods send there, or the answers to it",
      {"# nothing is wrong where that is meant; else have its owner let pods through, or give this "
       "node a route:"}};
  auto maybe = missed;
  maybe.weight = Weight::note;
  for (const auto& each : facts.node.no_ways) {
    auto& finding = each.is_missed ? missed : maybe;
    finding.where.push_back(text_of(each));
    const bool is_new = std::ranges::find(finding.fix, "# " + each.fix) == finding.fix.end();
    if (!each.fix.empty() && is_new) finding.fix.push_back("# " + each.fix);
  }
  for (auto* const finding : {&missed, &maybe}) {
    if (!finding->where.empty()) findings.push_back(std::move(*finding));
  }
}

// ---- answers

constexpr std::size_t most_named = 3;

// A line for all, however many there are.
void find_strict_reverse_path(const Facts& facts, Findings& findings) {
  const auto& strict = facts.node.strict_interfaces;
  if (strict.empty()) return;
  std::string where = "net.ipv4.conf." + strict.front() + ".rp_filter = 1";
  if (strict.size() > 1) {
    where = "rp_filter = 1 of " + std::to_string(strict.size()) + " interfaces: ";
    for (std::size_t index = 0; index < std::min(strict.size(), most_named); ++index)
      where += (index == 0 ? "" : ", ") + strict[index];
    if (strict.size() > most_named) where += " and others";
  }
  Finding finding{
      "rp-filter-strict",
      {where},
      "drops an answer to a pod that comes back by another interface than the one that leads to its sender",
      {"sysctl -w net.ipv4.conf.all.rp_filter=2  # loose on all interfaces: the larger of all and its own "
       "counts"},
      Weight::note};
  if (facts.node.dropped_by_reverse_path > 0) {
    finding.where.push_back(std::to_string(facts.node.dropped_by_reverse_path) +
                            " packets were dropped so since the start (IPReversePathFilter)");
    finding.weight = Weight::hurts;
  }
  findings.push_back(std::move(finding));
}

// ---- what is configured and cannot work

// Whether the rest of the world has no way to answer such pods.
bool is_private(const net::Prefix& subnet) {
  static const auto ranges = [] {
    std::vector<net::Prefix> prefixes;
    for (const auto* const text :
         {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"})
      prefixes.push_back(net::parse_interface_address(text).value().network());
    return prefixes;
  }();
  return std::ranges::any_of(ranges, [&subnet](const auto& each) { return each.contains(subnet); });
}

// Whether entries that keep addresses hold all of a network, by one or by several, none longer than /8.
bool keeps(const nat::NetworkChain& chain, const net::Prefix& network) {
  constexpr unsigned longest = 8;
  const auto is_kept = [](const nat::Destination& each) { return each.verdict == nat::Verdict::keep; };
  bool is_in_parts = false;
  for (const auto& each : chain.destinations) {
    if (is_kept(each) && each.prefix.contains(network)) return true;
    is_in_parts = is_in_parts || (is_kept(each) && network.contains(each.prefix));
  }
  if (!is_in_parts || network.length == longest) return false;
  auto upper = network.address;
  upper.bytes[network.length / 8] |= static_cast<std::uint8_t>(0x80U >> (network.length % 8));
  return keeps(chain, net::network_of(network.address, network.length + 1)) &&
         keeps(chain, net::network_of(upper, network.length + 1));
}

void find_everything_exempt(const Facts& facts, Findings& findings) {
  Finding finding{"everything-exempt",
                  {},
                  "pods keep their own addresses towards the whole world, which has no way back to them",
                  {"# list what is to see the pods' addresses in nonMasqueradeCIDRs instead of that, then "
                   "(nothing is wrong "
                   "where something further out masquerades):",
                   "ip-masq sync"},
                  Weight::note};
  for (const auto& chain : facts.ours.wanted.chains) {
    const auto world = net::network_of(net::Address{chain.family, {}}, 0);
    if (!keeps(chain, world)) continue;
    finding.where.push_back(net::to_text(world) + " keeps the addresses of pods of " +
                            nat::told(chain.owner()));
    const bool is_lost = std::ranges::any_of(facts.ours.wanted.sources, [&](const nat::Source& source) {
      return source.owner() == chain.owner() && source.prefix.family() == chain.family &&
             is_private(source.prefix);
    });
    if (is_lost) finding.weight = Weight::hurts;
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

constexpr std::size_t most_told_of_a_range = 3;

std::string told(const std::vector<std::string>& lines) {
  std::string text;
  for (std::size_t index = 0; index < std::min(lines.size(), most_told_of_a_range); ++index)
    text += (index == 0 ? "" : ", ") + lines[index];
  return text + (lines.size() > most_told_of_a_range ? ", ..." : "");
}

// What snatTo has for one way out, and where its addresses are.
class SnatToItem {
 public:
  SnatToItem(const nat::NetworkChain& chain, const net::Range& to, const std::string* interface)
      : chain_(chain), to_(to), interface_(interface) {}

  void look(const Surroundings& node, Finding& elsewhere, Finding& other) const {
    const auto way_out = node.way_out.find(chain_.family);
    const auto* const leads_out =
        interface_ != nullptr || way_out == node.way_out.end() ? interface_ : &way_out->second;
    std::vector<std::string> missing;
    std::map<std::string, std::vector<std::string>> on;
    std::size_t asked = 0;
    for (std::optional next(to_.first); next && *next <= to_.last && asked < most_asked_of_a_range;
         next = net::next(*next), ++asked) {
      const auto holder = node.interface_of.find(*next);
      if (holder != node.interface_of.end()) {
        on[holder->second].push_back(net::to_text(*next));
      } else if (!node.routed_here.contains(*next)) {
        missing.push_back(net::to_text(*next));
      }
    }
    if (!missing.empty()) elsewhere.where.push_back(told(missing) + of_network());
    for (const auto& [holder, addresses] : on) {
      if (leads_out == nullptr || holder == "lo" || holder == *leads_out) continue;
      other.where.push_back(
          told(addresses) + of_network() + ", is on " + holder +
          (interface_ == nullptr ? "; the default route leads out by " : "; it is for what leaves by ") +
          *leads_out);
    }
  }

  std::string of_network() const { return ", snatTo of " + nat::told(chain_.owner()); }

 private:
  const nat::NetworkChain& chain_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  net::Range to_;
  const std::string* interface_;
};

void find_wrong_snat_to(const Facts& facts, Findings& findings) {
  Finding elsewhere{"snat-to-elsewhere",
                    {},
                    "answers to masqueraded pods go to an address that this node does not have",
                    {"# give this node the address, or name one of its own in snatTo; nothing is wrong where "
                     "routers send that address here"}};
  Finding other{
      "snat-to-other-uplink",
      {},
      "answers to masqueraded pods come back by another uplink than they left by",
      {"# name an address of the uplink that they leave by in snatTo; nothing is wrong where both reach the "
       "same routers"},
      Weight::note};
  // One file is for many nodes, and nothing leaves by what is not there.
  Finding absent{
      "snat-to-no-interface",
      {},
      "an item of snatTo is for an interface that this node does not have: pods leave by others, and "
      "get what holds for those",
      {"# name the interface as ip link does; nothing is wrong where other nodes have it"},
      Weight::note};
  for (const auto& chain : facts.ours.wanted.chains) {
    const auto& [random, ports, everywhere, by_interface] = chain.translation;
    if (everywhere) SnatToItem(chain, *everywhere, nullptr).look(facts.node, elsewhere, other);
    for (const auto& [interface, to] : by_interface) {
      const SnatToItem item(chain, to, &interface);
      if (facts.node.interfaces.contains(interface)) {
        item.look(facts.node, elsewhere, other);
      } else {
        absent.where.push_back(interface + item.of_network());
      }
    }
  }
  for (auto* const finding : {&elsewhere, &other, &absent}) {
    if (!finding->where.empty()) findings.push_back(std::move(*finding));
  }
}

void find_pods_outside_flannel(const Facts& facts, Findings& findings) {
  Finding finding{"pods-outside-flannel-network",
                  {},
                  "other nodes have no way to these pods, and their addresses are not exempt there",
                  {"# start these pods anew: flannel gives them addresses of the network that it has now"}};
  for (const auto& network : facts.ours.networks) {
    const auto list = std::ranges::find(facts.node.lists, network.name, &conflist::Network::name);
    if (list == facts.node.lists.end() || !list->holds(conflist::flannel_type)) continue;
    for (const auto& subnet : network.pod_subnets) {
      const auto& clusters = network.cluster_networks;
      const auto is_of_family = [&](const net::Prefix& each) { return each.family() == subnet.family(); };
      const auto holds = [&](const net::Prefix& each) { return each.contains(subnet); };
      if (std::ranges::any_of(clusters, is_of_family) && std::ranges::none_of(clusters, holds))
        finding.where.push_back(net::to_text(subnet) + " of network " + network.name +
                                " lies outside flannel's networks (" + facts.node.subnet_file.string() + ")");
    }
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

// ---- what runs out

void find_full_tracking(const Facts& facts, Findings& findings) {
  const auto& tracking = facts.node.tracking;
  if (!tracking) return;
  constexpr std::uint64_t percent = 100;
  constexpr std::uint64_t nearly_full = 95;
  if (tracking->most_connections == 0 ||
      tracking->connections * percent < tracking->most_connections * nearly_full)
    return;
  findings.push_back(
      {"conntrack-full",
       {std::to_string(tracking->connections) + " connections are tracked, of " +
        std::to_string(tracking->most_connections) + " (net.netfilter.nf_conntrack_max)"},
       "the kernel drops what would open one more connection",
       {"sysctl -w net.netfilter.nf_conntrack_max=" + std::to_string(tracking->most_connections * 2) +
        "  # some 300 bytes of memory each"}});
}

void find_scarce_ports(const Facts& facts, Findings& findings) {
  Finding finding{
      "source-ports-used-up",
      {},
      "pods' new connections to that place get no source port and time out",
      {"# more ports in toPorts, another address of this node in snatTo, or the place's network in "
       "nonMasqueradeCIDRs where it has a route back to the pods"}};
  for (const auto& each : facts.node.scarce_ports) {
    finding.where.push_back(each.connections + ": " + std::to_string(each.used) + " of " +
                            std::to_string(each.all) + " source ports are in use, network " + each.network);
  }
  const auto failed = facts.node.tracking ? facts.node.tracking->not_inserted : 0;
  const auto line = std::to_string(failed) +
                    " connections failed since the start for want of a free source port, "
                    "or since two packets raced (insert_failed)";
  if (!finding.where.empty()) {
    if (failed > 0) finding.where.push_back(line);
    findings.push_back(std::move(finding));
  } else if (failed > 0) {
    findings.push_back(
        {"connections-not-inserted",
         {line},
         "each was a packet of a new connection that was lost, and sent again by whoever does so",
         {"# see whether it grows: conntrack -S; toPorts may be too few"},
         Weight::note});
  }
}

}  // namespace

void find_kernel_findings(const Facts& facts, Findings& findings) {
  for (const auto find :
       {find_no_forwarding, find_interfaces_that_do_not_forward, find_cut_off_pods, find_no_way,
        find_forward_drops, find_ipsec_findings, find_everything_exempt, find_wrong_snat_to,
        find_pods_outside_flannel, find_full_tracking, find_scarce_ports, find_strict_reverse_path}) {
    find(facts, findings);
  }
}

}  // namespace ipmasq::doctor
