#include <algorithm>
#include <functional>
#include <future>
#include <ostream>
#include <utility>

#include "cni/json.hpp"
#include "doctor/read_surroundings.hpp"
#include "error/error.hpp"
#include "nat/explain.hpp"
#include "netfilter/conntrack.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/json_output.hpp"
#include "plugin/commands/pod_askers.hpp"
#include "plugin/verbs/recorded.hpp"
#include "probe/ask.hpp"
#include "probe/inside.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

using probe::Answer;

constexpr std::chrono::seconds patience{3};

constexpr std::size_t most_at_once = 32;

// What was found out of one pod subnet.
struct Finding {
  Asker asker;
  std::string seen = {};                           // the source address that the host sees
  std::optional<netfilter::Tracked> tracked = {};  // what this node knows of the connection
  bool is_tracking_told = false;                   // false where the kernel does not say
  bool is_kept = false;
  std::optional<net::Range> snat_to = {};
  Answer answer = Answer::silent;
  std::string reason = {};
  std::string todo = {};  // empty where all is well

  bool is_asked() const { return asker.source.has_value(); }
  bool is_of_a_pod() const { return !asker.network_namespace.empty(); }
  // What a host refuses (RST) is forgotten at once, and was tracked.
  bool is_untracked() const {
    return is_of_a_pod() && is_tracking_told && !tracked && answer != Answer::refused;
  }
};

probe::Asked ask(const std::optional<net::Address>& source, const ProbeTarget& target) {
  return target.port ? probe::connect(source, target.host, *target.port, patience)
                     : probe::echo(source, target.host, patience);
}

bool is_sign_of_life(Answer answer) {
  return answer == Answer::answered || answer == Answer::refused;
}

// As a pod, or as this node where the pod's namespace cannot be entered: `asker` then says why.
probe::Asked ask_as(Asker& asker, const ProbeTarget& target) {
  if (!asker.network_namespace.empty()) {
    try {
      probe::Asked asked;
      probe::inside(asker.network_namespace, [&] { asked = ask(asker.source, target); });
      return asked;
    } catch (const Error& error) {
      asker = node_instead(asker, error.what());
    }
  }
  return asker.source ? ask(asker.source, target) : probe::Asked{};
}

void look_at_tracking(Finding& finding, const ProbeTarget& target, std::uint16_t source_port) {
  try {
    finding.tracked = netfilter::tracked(
        {*finding.asker.source, target.host, target.port.has_value(), source_port, target.port.value_or(0)});
    finding.is_tracking_told = true;
  } catch (const Error&) {  // a kernel without it is no reason not to probe
  }
}

Finding probe_as(Asker asker, const nat::Ruleset& wanted, const ProbeTarget& target) {
  Finding finding;
  const auto asked = ask_as(asker, target);
  finding.asker = std::move(asker);
  finding.answer = asked.answer;
  finding.reason = asked.reason;
  if (!finding.is_asked()) return finding;
  look_at_tracking(finding, target, asked.source_port);
  const auto explained = nat::explain(wanted, *finding.asker.source, target.host);
  if (explained.chain)
    finding.snat_to = explained.chain->translation.source_by(routing::interface_towards(target.host));
  finding.is_kept =
      finding.tracked ? finding.tracked->seen == finding.asker.source : explained.fate == nat::Fate::kept;
  if (finding.tracked) finding.seen = net::to_text(finding.tracked->seen);
  return finding;
}

// Each subnet on its own: what cannot be asked for one keeps none of the others from being asked.
std::vector<Finding> probe_all(const std::vector<Asker>& askers, const nat::Ruleset& wanted,
                               const ProbeTarget& target) {
  std::vector<Finding> findings;
  for (std::size_t begin = 0; begin < askers.size(); begin += most_at_once) {
    std::vector<std::future<Finding>> asking;
    for (std::size_t each = begin; each < std::min(askers.size(), begin + most_at_once); ++each)
      asking.push_back(std::async(std::launch::async, probe_as, askers[each], std::cref(wanted), target));
    for (std::size_t each = 0; each < asking.size(); ++each) {
      try {
        findings.push_back(asking[each].get());
      } catch (const Error& error) {
        const auto& asker = askers[begin + each];
        findings.push_back({.asker = {.subnet = asker.subnet, .why_no_pod = error.what()}});
      }
    }
  }
  return findings;
}

// What the node itself, and its counters, say beside.
struct Circumstances {
  Answer to_the_node = Answer::silent;
  bool is_reverse_path_dropped = false;
};

std::string dropped_answer(const Finding& finding, const std::string& host, bool is_by_reverse_path) {
  if (is_by_reverse_path) {
    return "the answer of " + host +
           " came back by another interface than the one that leads there, and this "
           "node's strict rp_filter dropped it: sysctl -w net.ipv4.conf.all.rp_filter=2";
  }
  return "the answer of " + host + " came back to this node, which dropped it" +
         (finding.is_of_a_pod() ? " on its way to the pod: a FORWARD chain lets no answers through"
                                : ": a rule of its own lets no answers in") +
         "; ip-masq doctor says which";
}

std::string todo_of(const Finding& finding, const ProbeTarget& target, const Circumstances& beside) {
  const auto host = net::to_text(target.host);
  if (!finding.is_asked()) {
    return "probe from inside a pod of it, or start one: this node has no address of its own in " +
           net::to_text(finding.asker.subnet.prefix);
  }
  if (finding.is_untracked() && finding.answer == Answer::answered) {
    return "this node tracks no such connection: a rule of NOTRACK keeps it from being translated (ip-masq "
           "doctor says which), or a proxy in the pod answered instead of " +
           host + " (then ask without --port)";
  }
  if (is_sign_of_life(finding.answer)) return "";
  const bool answers_the_node = is_sign_of_life(beside.to_the_node);
  const bool is_no_way = finding.answer == Answer::unreachable && !answers_the_node;
  if (is_no_way) return "see the routes towards " + host + ": ip route get " + host;
  if (finding.tracked && finding.tracked->is_answered)
    return dropped_answer(finding, host, beside.is_reverse_path_dropped);
  if (finding.is_untracked()) {
    return "this node tracks nothing of it: a FORWARD chain drops what pods send, the node does not forward, "
           "or "
           "a rule of NOTRACK lets it out untranslated; ip-masq doctor says which";
  }
  if (finding.answer == Answer::unreachable) {
    return host +
           " answers this node's own address, and somebody on the way refuses what its pods send: see "
           "the routes and filters towards " +
           host;
  }
  if (finding.is_kept && answers_the_node) {
    return host + " answers this node but not its pods: it, or a router before it, has no route back to " +
           net::to_text(finding.asker.subnet.prefix) + " by this node. Add that route there, or masquerade " +
           host + " (masqueradeCIDRs)";
  }
  if (answers_the_node) {
    const bool is_ours =
        finding.snat_to &&
        (!finding.tracked || net::overlap(*finding.snat_to, {finding.tracked->seen, finding.tracked->seen}));
    const auto seen = !finding.seen.empty() ? finding.seen
                      : is_ours             ? net::ends_text(*finding.snat_to)
                                            : std::string("what its pods are masqueraded as");
    return host + " answers this node's own address but not " + seen +
           ": it, or a router before it, has no route back to that address by this node" +
           (is_ours ? " (snatTo)" : ", or drops what comes from there");
  }
  return host +
         " does not answer this node's own address either: it is down, or drops what it is asked; try " +
         (target.port ? "another --port" : "--port with one that it serves");
}

// Empty where a pod asked.
std::string note_of(const Finding& finding) {
  if (!finding.is_asked() || finding.is_of_a_pod()) return "";
  return "asked from this node, not from a pod's network namespace, so FORWARD was not crossed: " +
         finding.asker.why_no_pod;
}

std::string fate_of(const Finding& finding) {
  if (finding.is_untracked()) return "not tracked";
  return finding.is_kept ? "kept" : "masqueraded";
}

// Of networks whose pod subnets are not known by that.
std::string problems_of(const Recorded& recorded) {
  std::string text;
  for (const auto& [name, network] : recorded) {
    for (const auto& problem : network.problems) text += "; network " + name + ": " + problem;
  }
  return text;
}

std::vector<nat::Source> subnets_of(const Recorded& recorded, const nat::Ruleset& wanted,
                                    const ProbeTarget& target) {
  std::vector<nat::Source> subnets;
  std::ranges::copy_if(wanted.sources, std::back_inserter(subnets), [&target](const nat::Source& each) {
    return each.prefix.family() == target.host.family && (!target.from || each.prefix == *target.from);
  });
  if (subnets.empty()) {
    const auto missing = target.from
                             ? "no recorded network has the pod subnet " + net::to_text(*target.from)
                             : "no pod subnet of " + net::to_text(target.host) + "'s family is recorded";
    throw Error(Kind::wrong_config, missing + problems_of(recorded),
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
  cni::Json json{{"podSubnet", net::to_text(finding.asker.subnet.prefix)}};
  if (!finding.is_asked()) {
    json["answer"] = "not asked";
    json["reason"] = finding.asker.why_no_pod;
    json["todo"] = finding.todo;
    return json;
  }
  json["source"] = net::to_text(*finding.asker.source);
  json["askedFrom"] = finding.is_of_a_pod() ? "pod" : "node";
  if (finding.is_of_a_pod()) json["pod"] = finding.asker.pod;
  json["fate"] = fate_of(finding);
  json["answer"] = text_of(finding.answer);
  if (!finding.seen.empty()) json["seen"] = finding.seen;
  if (!finding.reason.empty()) json["reason"] = finding.reason;
  if (!finding.todo.empty()) json["todo"] = finding.todo;
  if (const auto note = note_of(finding); !note.empty()) json["note"] = note;
  return json;
}

void print(const Finding& finding, const ProbeTarget& target, std::ostream& output) {
  output << net::to_text(finding.asker.subnet.prefix) << " -> " << net::to_text(target.host)
         << (target.port ? " port " + std::to_string(*target.port) : "") << ": ";
  if (finding.is_asked()) {
    output << fate_of(finding);
    if (!finding.seen.empty()) output << ", seen as " << finding.seen;
    output << ", " << text_of(finding.answer) << (finding.reason.empty() ? "" : " (" + finding.reason + ")");
  } else {
    output << "not asked (" << finding.asker.why_no_pod << ")";
  }
  output << '\n';
  if (!finding.todo.empty()) output << "  " << finding.todo << '\n';
  if (const auto note = note_of(finding); !note.empty()) output << "  " << note << '\n';
}

// 0 of a kernel that does not say.
std::uint64_t reverse_path_drops() {
  try {
    return doctor::kernel_counter("IPReversePathFilter");
  } catch (const Error&) {
    return 0;
  }
}

std::vector<Finding> find_out(const Recorded& recorded, const ProbeTarget& target) {
  const auto wanted = ruleset_of(recorded);
  const auto dropped_before = reverse_path_drops();
  auto findings = probe_all(askers_of(subnets_of(recorded, wanted, target), recorded), wanted, target);
  Circumstances beside{.is_reverse_path_dropped = reverse_path_drops() > dropped_before};
  const auto is_lost = [](const Finding& each) { return each.is_asked() && !is_sign_of_life(each.answer); };
  if (std::ranges::any_of(findings, is_lost)) beside.to_the_node = ask(std::nullopt, target).answer;
  for (auto& finding : findings) finding.todo = todo_of(finding, target, beside);
  return findings;
}

}  // namespace

bool probe_host(const std::filesystem::path& state_dir, const ProbeTarget& target, OutputFormat format,
                std::ostream& output) {
  const auto findings = find_out(read_recorded(state::Store(state_dir)), target);
  if (format == OutputFormat::json) {
    cni::Json json{{"host", net::to_text(target.host)}};
    if (target.port) json["port"] = *target.port;
    json["probes"] = cni::Json::array();
    for (const auto& finding : findings) json["probes"].push_back(to_json(finding));
    print_json(json, output);
  } else {
    for (const auto& finding : findings) print(finding, target, output);
  }
  return std::ranges::all_of(findings, [](const Finding& each) { return each.todo.empty(); });
}

}  // namespace ipmasq::plugin
