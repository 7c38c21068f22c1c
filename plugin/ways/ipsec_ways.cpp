#include "plugin/ways/ipsec_ways.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "os/file.hpp"
#include "plugin/ways/pod_ways.hpp"
#include "routing/ipsec.hpp"
#include "routing/node_addresses.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::UnderIpsec;
using net::Prefix;
using routing::IpsecFate;
using routing::IpsecHook;

// Somebody who hears which states the kernel wants (XFRMNLGRP_ACQUIRE of linux/xfrm.h), or who has a socket
// of PF_KEY, agrees on them. proc_net(5): the columns are sk, Eth, Pid, Groups; the first line names them.
bool is_negotiated() {
  constexpr int protocol_of_ipsec = 6;
  constexpr std::uint32_t acquisitions = 1;
  std::istringstream sockets(os::read_file("/proc/net/netlink").value_or(""));
  for (std::string line; std::getline(sockets, line);) {
    std::istringstream columns(line);
    std::string socket;
    int protocol = 0;
    std::string owner;
    std::uint32_t groups = 0;
    if (columns >> socket >> protocol >> owner >> std::hex >> groups && protocol == protocol_of_ipsec &&
        (groups & acquisitions) != 0)
      return true;
  }
  const auto keys = os::read_file("/proc/net/pfkey").value_or("");
  return std::ranges::count(keys, '\n') > 1;
}

// What packets that come by an interface, or leave by it, are not asked (ip-sysctl: disable_policy,
// disable_xfrm; of IPv6 the first alone).
class Exempt {
 public:
  explicit Exempt(net::Family family) : is_ipv4_(family == net::Family::ipv4) {}

  bool from_policies_in(const std::optional<std::string>& interface) const {
    return is_on("disable_policy", interface);
  }
  bool from_policies_out(const std::optional<std::string>& interface) const {
    return is_ipv4_ && is_on("disable_xfrm", interface);
  }

 private:
  bool is_on(const std::string& setting, const std::optional<std::string>& interface) const {
    const auto of = [&](const std::string& name) {
      const auto value = os::read_file("/proc/sys/net/" + std::string(is_ipv4_ ? "ipv4" : "ipv6") + "/conf/" +
                                       name + "/" + setting);
      return value && !value->starts_with('0');
    };
    return of("all") || (interface && of(*interface));
  }

  bool is_ipv4_;
};

struct Found {
  routing::IpsecVerdict verdict;
  bool are_answers = false;
  bool are_masqueraded = false;
  Prefix pods = {};
  Prefix other = {};
  bool is_certain = true;
};

// Where it goes that no narrower network is for.
net::Address host_in(const Prefix& network) {
  return network.length == 0 ? nobody(network.family()) : network.address;
}

// Of one family. A masqueraded packet is asked about with the pod's address and again with what it leaves
// with; the answer to it as it comes in, and as it is sent on to the pod.
class Questions {
 public:
  Questions(net::Family family, const nat::Ruleset& ruleset)
      : family_(family), ruleset_(ruleset), ipsec_(routing::read_ipsec(family)), exempt_(family) {
    if (!ipsec_.policies.empty()) ipsec_.is_negotiated = is_negotiated();
  }

  bool are_any() const { return !ipsec_.policies.empty(); }

  /// `fate`: none where the lists decide.
  std::vector<Found> of(const doctor::PodWay& way, const Prefix& pods, const Prefix& other,
                        std::optional<nat::Fate> fate) const {
    std::vector<Found> found;
    const auto are_any_masqueraded = [&](const Prefix& with) {
      return fate ? *fate == nat::Fate::masqueraded : are_some(way, pods, with, true);
    };
    const auto are_any_not_masqueraded = [&](const Prefix& with) {
      return fate ? *fate != nat::Fate::masqueraded : are_some(way, pods, with, false);
    };
    const auto ask = [&](IpsecHook hook, const Prefix& from, const Prefix& to, bool came_in_clear,
                         const auto& take) {
      for (const auto& each : routing::verdicts(ipsec_, hook, from, to, came_in_clear)) take(each);
    };
    const bool is_out_asked = !exempt_.from_policies_out(way.uplink);
    const auto sent = [&](const routing::IpsecVerdict& each) {
      found.push_back({each, false, false, each.source, each.destination, each.is_certain});
    };
    const auto answers = [&](const routing::IpsecVerdict& each) {
      found.push_back({each, true, false, each.destination, each.source, each.is_certain});
    };
    if (!exempt_.from_policies_in(way.pod_interface)) ask(IpsecHook::forward, pods, other, true, sent);
    if (is_out_asked) ask(IpsecHook::out, pods, other, true, sent);
    if (!exempt_.from_policies_in(way.uplink)) {
      ask(IpsecHook::forward, other, pods, false, [&](const routing::IpsecVerdict& each) {
        if (are_any_not_masqueraded(each.source)) answers(each);
      });
    }
    if (!exempt_.from_policies_out(way.pod_interface)) ask(IpsecHook::out, other, pods, false, answers);
    const auto sources = translated(way, pods);
    for (const auto& source : sources) {
      const bool is_one = sources.size() == 1;
      if (is_out_asked) {
        ask(IpsecHook::out, source, other, true, [&](const routing::IpsecVerdict& each) {
          if (are_any_masqueraded(each.destination))
            found.push_back({each, false, true, pods, each.destination, each.is_certain && is_one});
        });
      }
      if (exempt_.from_policies_in(way.uplink)) continue;
      ask(IpsecHook::forward, other, source, false, [&](const routing::IpsecVerdict& each) {
        if (are_any_masqueraded(each.source))
          found.push_back({each, true, true, pods, each.source, each.is_certain && is_one});
      });
    }
    return found;
  }

 private:
  static net::Address host_of_pods(const doctor::PodWay& way, const Prefix& pods) {
    const auto is_of_them = [&pods](const doctor::PodAt& each) { return pods.contains(each.address); };
    const auto pod = std::ranges::find_if(way.attached, is_of_them);
    return pod == way.attached.end() ? pods.address : pod->address;
  }

  // Whether lists masquerade what pods send to some of a network; or do not.
  bool are_some(const doctor::PodWay& way, const Prefix& pods, const Prefix& with,
                bool are_masqueraded) const {
    const auto decided = nat::explain(ruleset_, host_of_pods(way, pods), host_in(with));
    if ((decided.fate == nat::Fate::masqueraded) == are_masqueraded) return true;
    return decided.chain && std::ranges::any_of(decided.chain->destinations, [&](const auto& each) {
             return with.contains(each.prefix) &&
                    (each.verdict == nat::Verdict::masquerade) == are_masqueraded;
           });
  }

  // What masqueraded pods' packets leave with; of a range its ends.
  std::set<Prefix> translated(const doctor::PodWay& way, const Prefix& pods) const {
    std::set<Prefix> found;
    const auto chain = nat::explain(ruleset_, host_of_pods(way, pods), nobody(family_)).chain;
    const auto to = chain ? chain->translation.source_by(way.uplink) : std::nullopt;
    if (to) return {net::host_prefix(to->first), net::host_prefix(to->last)};
    for (const auto& [interface, address] : routing::addresses_by_interface()) {
      if (interface == way.uplink && address.family == family_ && !address.is_link_local())
        found.insert(net::host_prefix(address));
    }
    return found;
  }

  net::Family family_;
  const nat::Ruleset& ruleset_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  routing::Ipsec ipsec_;
  Exempt exempt_;
};

std::string text_of(const routing::IpsecVerdict& verdict) {
  const auto& text = verdict.policy->text;
  switch (verdict.fate) {
    case IpsecFate::in_the_clear:
      return text + ": it wants them to have come by IPsec, and pods send in the clear";
    case IpsecFate::no_state:
      return text + ": there is no such state, and nobody agrees on one";
    case IpsecFate::negotiated:
      return text + ": there is no such state yet";
    case IpsecFate::blocked:
    case IpsecFate::transformed:
      return text;
  }
  return text;
}

UnderIpsec::Does done_by(const Found& found) {
  using Does = UnderIpsec::Does;
  if (found.verdict.fate == IpsecFate::transformed) return Does::transforms;
  if (found.verdict.fate == IpsecFate::negotiated) return Does::drops_for_now;
  return found.is_certain ? Does::drops : Does::may_drop;
}

// Those that a policy is for: all of a subnet, or the recorded ones.
std::vector<Prefix> pods_of(const Prefix& subnet, const Prefix& decided, const doctor::PodWay& way) {
  if (decided.contains(subnet)) return {subnet};
  std::vector<Prefix> pods;
  for (const auto& each : way.attached) {
    if (decided.contains(each.address)) pods.push_back(net::host_prefix(each.address));
  }
  return pods;
}

// A policy once for all pods that it does the same to.
void add(UnderIpsec each, std::vector<UnderIpsec>& all) {
  const auto known = std::ranges::find_if(all, [&each](const UnderIpsec& other) {
    return other.by == each.by && other.are_answers == each.are_answers && other.does == each.does &&
           other.other == each.other && other.are_masqueraded == each.are_masqueraded;
  });
  if (known == all.end()) {
    all.push_back(std::move(each));
    return;
  }
  for (const auto& pods : each.pods) {
    if (std::ranges::find(known->pods, pods) == known->pods.end()) known->pods.push_back(pods);
  }
}

}  // namespace

std::vector<UnderIpsec> under_ipsec(const nat::Ruleset& ruleset, const std::vector<doctor::PodWay>& ways) {
  std::vector<UnderIpsec> all;
  const auto here = routing::node_addresses();
  const auto is_passed_on = [&](const Prefix& other) {
    const bool is_the_nodes = std::ranges::any_of(
        here, [&other](const net::Address& each) { return other == net::host_prefix(each); });
    const bool is_of_pods = std::ranges::any_of(
        ruleset.sources, [&other](const nat::Source& each) { return each.prefix.contains(other); });
    return !is_the_nodes && !is_of_pods;
  };
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    const auto is_of_family = [family](const auto& way) { return way.pods.front().family() == family; };
    if (std::ranges::none_of(ways, is_of_family)) continue;
    const Questions questions(family, ruleset);
    if (!questions.are_any()) continue;
    for (const auto& way : ways) {
      if (!is_of_family(way) || way.attached.empty()) continue;
      for (const auto& subnet : way.pods) {
        for (const auto& each : questions.of(way, subnet, net::network_of({family, {}}, 0), std::nullopt)) {
          auto pods = pods_of(subnet, each.pods, way);
          if (pods.empty() || !is_passed_on(each.other)) continue;
          add({.pods = std::move(pods),
               .other = each.other,
               .are_answers = each.are_answers,
               .are_masqueraded = each.are_masqueraded,
               .does = done_by(each),
               .by = text_of(each.verdict),
               .fix = each.verdict.policy->removal},
              all);
        }
      }
    }
  }
  // A policy for networks that hold the pods as well is told of one direction, the wider one.
  const auto is_told = [&all](const UnderIpsec& each) {
    const auto holds = [&each](const Prefix& pods) { return each.other.contains(pods); };
    if (!std::ranges::all_of(each.pods, holds)) return false;
    return std::ranges::any_of(all, [&each](const UnderIpsec& other) {
      const bool is_wider = other.other.length < each.other.length ||
                            (other.other.length == each.other.length && each.are_answers);
      return other.are_answers != each.are_answers && other.by == each.by && other.pods == each.pods &&
             is_wider;
    });
  };
  std::vector<UnderIpsec> told;
  std::ranges::copy_if(all, std::back_inserter(told),
                       [&](const UnderIpsec& each) { return each.other.length == 0 || !is_told(each); });
  return told;
}

void append_ipsec(const nat::Ruleset& ruleset, const doctor::PodWay& way, nat::Fate fate,
                  std::vector<std::string>& sentences) {
  const auto& pod = way.pods.front();
  const Questions questions(pod.family(), ruleset);
  if (!questions.are_any()) return;
  for (const auto& each : questions.of(way, pod, net::host_prefix(*way.destination), fate)) {
    const auto packets = each.are_answers ? std::string("the answer to it") : std::string("it");
    const auto does = done_by(each);
    const bool is_masqueraded = fate == nat::Fate::masqueraded && !each.are_masqueraded;
    std::string sentence;
    if (does == UnderIpsec::Does::transforms && is_masqueraded && !each.are_answers) {
      sentence = "it may be that it leaves past the IPsec that is meant for it, as it is masqueraded";
    } else if (does == UnderIpsec::Does::transforms) {
      sentence = packets + (each.are_answers ? " goes on" : " leaves") + " under IPsec";
    } else {
      sentence =
          (does == UnderIpsec::Does::drops ? "" : "it may be that ") + packets + " is dropped by IPsec";
    }
    sentence += ": " + text_of(each.verdict);
    if (std::ranges::find(sentences, sentence) == sentences.end()) sentences.push_back(std::move(sentence));
  }
}

}  // namespace ipmasq::plugin
