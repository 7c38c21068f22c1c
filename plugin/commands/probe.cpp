#include <algorithm>
#include <ostream>

#include "cni/json.hpp"
#include "error/error.hpp"
#include "nat/explain.hpp"
#include "netfilter/conntrack.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/json_output.hpp"
#include "plugin/commands/operands.hpp"
#include "plugin/verbs/recorded.hpp"
#include "probe/ask.hpp"
#include "routing/node_addresses.hpp"

namespace ipmasq::plugin {

namespace {

using probe::Answer;

constexpr std::chrono::seconds patience{3};

// What was found out of one pod subnet.
struct Finding {
  net::Prefix pod_subnet;
  net::Address source;
  std::string seen =
      {};  // the source address that the host sees, or what decides where the kernel does not say
  bool is_kept = false;
  Answer answer = Answer::silent;
  std::string reason = {};
  std::string todo = {};  // empty where all is well
};

probe::Asked ask(const std::optional<net::Address>& source, const ProbeTarget& target) {
  return target.port ? probe::connect(source, target.host, *target.port, patience)
                     : probe::echo(source, target.host, patience);
}

bool is_sign_of_life(Answer answer) {
  return answer == Answer::answered || answer == Answer::refused;
}

// The node's own address in the subnet, which its rules treat as they treat its pods. Not that of flannel.1,
// which is the subnet's own.
net::Address gateway_of(const net::Prefix& subnet) {
  const auto addresses = routing::node_addresses();
  const auto found = std::ranges::find_if(
      addresses, [&subnet](const auto& each) { return subnet.contains(each) && each != subnet.address; });
  if (found != addresses.end()) return *found;
  throw Error(Kind::failed, "this node has no address in the pod subnet " + net::to_text(subnet),
              "its gateway is not here (yet): probe from inside a pod instead");
}

std::string todo_of(const Finding& finding, const ProbeTarget& target) {
  const auto host = net::to_text(target.host);
  if (finding.answer == Answer::unreachable) {
    return "see the routes towards " + host + ": ip route get " + host;
  }
  if (is_sign_of_life(finding.answer)) return "";
  const bool answers_the_node = is_sign_of_life(ask(std::nullopt, target).answer);
  if (finding.is_kept && answers_the_node) {
    return host + " answers this node but not its pods: it, or a router before it, has no route back to " +
           net::to_text(finding.pod_subnet) + " by this node. Add that route there, or masquerade " + host +
           " (masqueradeCIDRs)";
  }
  if (answers_the_node) {
    return host + " answers this node's own address but not " +
           (finding.seen.empty() ? "snatTo" : finding.seen) +
           ": it, or a router before it, has no route back to that address by this node (snatTo)";
  }
  return host +
         " does not answer this node's own address either: it is down, or drops what it is asked; try " +
         (target.port ? "another --port" : "--port with one that it serves");
}

Finding probe_from(const nat::Source& subnet, const nat::Ruleset& wanted, const ProbeTarget& target) {
  Finding finding{.pod_subnet = subnet.prefix, .source = gateway_of(subnet.prefix)};
  const auto asked = ask(finding.source, target);
  finding.answer = asked.answer;
  finding.reason = asked.reason;
  const auto seen = netfilter::source_seen(
      {finding.source, target.host, target.port.has_value(), asked.source_port, target.port.value_or(0)});
  const auto fate = nat::explain(wanted, finding.source, target.host).fate;
  finding.is_kept = seen ? *seen == finding.source : fate == nat::Fate::kept;
  finding.seen = seen ? net::to_text(*seen) : "";
  finding.todo = todo_of(finding, target);
  return finding;
}

std::vector<nat::Source> subnets_of(const nat::Ruleset& wanted, const ProbeTarget& target) {
  std::vector<nat::Source> subnets;
  std::ranges::copy_if(wanted.sources, std::back_inserter(subnets), [&target](const nat::Source& each) {
    return each.prefix.family() == target.host.family && (!target.from || each.prefix == *target.from);
  });
  if (subnets.empty()) {
    throw Error(Kind::wrong_config,
                target.from ? "no recorded network has the pod subnet " + net::to_text(*target.from)
                            : "no pod subnet of " + net::to_text(target.host) + "'s family is recorded",
                "ip-masq show lists them; the first pod's ADD records one");
  }
  return subnets;
}

std::string text_of(Answer answer) {
  switch (answer) {
    case Answer::answered:
      return "answered";
    case Answer::refused:
      return "refused";
    case Answer::unreachable:
      return "unreachable";
    case Answer::silent:
      return "no answer";
  }
  return "";
}

cni::Json to_json(const Finding& finding) {
  cni::Json json{{"podSubnet", net::to_text(finding.pod_subnet)},
                 {"source", net::to_text(finding.source)},
                 {"fate", finding.is_kept ? "kept" : "masqueraded"},
                 {"answer", text_of(finding.answer)}};
  if (!finding.seen.empty()) json["seen"] = finding.seen;
  if (!finding.reason.empty()) json["reason"] = finding.reason;
  if (!finding.todo.empty()) json["todo"] = finding.todo;
  return json;
}

void print(const Finding& finding, const ProbeTarget& target, std::ostream& output) {
  output << net::to_text(finding.pod_subnet) << " -> " << net::to_text(target.host)
         << (target.port ? " port " + std::to_string(*target.port) : "") << ": "
         << (finding.is_kept ? "kept" : "masqueraded");
  if (!finding.seen.empty()) output << ", seen as " << finding.seen;
  output << ", " << text_of(finding.answer) << (finding.reason.empty() ? "" : " (" + finding.reason + ")")
         << '\n';
  if (!finding.todo.empty()) output << "  " << finding.todo << '\n';
}

}  // namespace

bool probe_host(const std::filesystem::path& state_dir, const ProbeTarget& target, OutputFormat format,
                std::ostream& output) {
  const auto wanted = ruleset_of(read_recorded(state::Store(state_dir)));
  bool all_well = true;
  auto probes = cni::Json::array();
  for (const auto& subnet : subnets_of(wanted, target)) {
    const auto finding = probe_from(subnet, wanted, target);
    all_well = all_well && finding.todo.empty();
    if (format == OutputFormat::json) {
      probes.push_back(to_json(finding));
    } else {
      print(finding, target, output);
    }
  }
  if (format == OutputFormat::json) {
    cni::Json json{{"host", net::to_text(target.host)}};
    if (target.port) json["port"] = *target.port;
    json["probes"] = probes;
    print_json(json, output);
  }
  return all_well;
}

}  // namespace ipmasq::plugin
