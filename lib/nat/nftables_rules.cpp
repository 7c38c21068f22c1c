#include "nat/nftables_rules.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "nat/chain_suffix.hpp"

namespace ipmasq::nat::nftables {

namespace {

using net::Family;

constexpr std::array<Family, 2> families{Family::ipv4, Family::ipv6};

std::string map_of(Family family) {
  return family == Family::ipv4 ? "pod-subnets" : "pod-subnets6";
}

std::string_view protocol_of(Family family) {
  return family == Family::ipv4 ? "ip" : "ip6";
}

// As append_source_nat of the iptables rules, but for the share of a range, which counts in ports.
void append_source_nat(const Translation& translation, const std::optional<InSet>& destinations,
                       std::vector<Rule>& rules) {
  for (const auto protocol : protocols_with_ports) {
    std::uint32_t left = 0;
    for (const auto& range : translation.to_ports) left += range.size();
    for (const auto& range : translation.to_ports) {
      Rule rule{.destination_in = destinations,
                .protocol = protocol,
                .statement = SourceNat{translation.snat_to, range, translation.random_fully}};
      if (range.size() < left) rule.share = Share{range.size(), left};
      left -= range.size();
      rules.push_back(rule);
    }
  }
  rules.push_back({.destination_in = destinations,
                   .statement = SourceNat{translation.snat_to, {}, translation.random_fully}});
}

std::vector<Interval<std::string>> ranges_with(Verdict verdict, const PodSubnet& subnet) {
  std::vector<std::pair<net::Prefix, Verdict>> prefixes;
  for (const auto& each : subnet.destinations) prefixes.emplace_back(each.prefix, each.verdict);
  std::vector<Interval<std::string>> ranges;
  for (const auto& interval : flatten(std::move(prefixes))) {
    if (interval.value == verdict) ranges.push_back({interval.range, ""});
  }
  return ranges;
}

void add_subnet(const PodSubnet& subnet, Table& table) {
  const auto family = subnet.prefix.family();
  const auto name = chain_name(subnet.network, subnet.prefix);
  auto& rules = table.chains[name].rules;
  // What somebody redirected back into the pod subnet must be masqueraded by who redirected it, or the answer
  // goes around the redirection.
  rules.push_back({.destination = subnet.prefix, .redirected = true, .statement = Return{}});

  const auto add_set = [&](const std::string& set, Verdict verdict) -> std::optional<InSet> {
    auto ranges = ranges_with(verdict, subnet);
    if (ranges.empty()) return std::nullopt;
    table.sets[set] = {.family = family, .elements = std::move(ranges)};
    return InSet{family, set};
  };
  if (const auto kept = add_set(kept_set(name), Verdict::keep)) {
    const bool holds = subnet.exemption == config::Exemption::hold;
    rules.push_back({.destination_in = kept, .statement = holds ? Statement(KeepSource{family}) : Return{}});
  }
  if (subnet.catch_all) {
    append_source_nat(subnet.translation, std::nullopt, rules);
  } else if (const auto masqueraded = add_set(masqueraded_set(name), Verdict::masquerade)) {
    append_source_nat(subnet.translation, masqueraded, rules);
  }
}

std::vector<Entrance> entrances_of(const Ruleset& ruleset) {
  std::vector<Entrance> entrances;
  for (const auto& subnet : ruleset.pod_subnets) {
    entrances.push_back({subnet.prefix, subnet.network, chain_name(subnet.network, subnet.prefix)});
  }
  return entrances;
}

void add_base_chain(const Ruleset& ruleset, const std::vector<Entrance>& entrances, Table& table) {
  auto& chain = table.chains[std::string(base_chain)];
  chain.is_base = true;
  for (const auto& mark : ruleset.yield_marks) chain.rules.push_back({.mark = mark, .statement = Return{}});
  chain.rules.push_back({.to_local = true, .statement = Return{}});
  for (const auto family : families) {
    std::vector<std::pair<net::Prefix, std::string>> sources;
    for (const auto& each : entrances) {
      if (each.subnet.family() == family) sources.emplace_back(each.subnet, each.chain);
    }
    if (sources.empty()) continue;
    table.sets[map_of(family)] = {.family = family, .is_map = true, .elements = flatten(std::move(sources))};
    chain.rules.push_back({.statement = Dispatch{family, map_of(family)}});
  }
}

template <typename... Parts>
std::string format(const char* pattern, Parts... parts) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, parts...);  // NOLINT(cert-err33-c): it fits
  return text.data();
}

std::string mark_text(const config::Mark& mark) {
  return mark.mask == config::Mark{}.mask ? format("meta mark 0x%08x ", mark.value)
                                          : format("meta mark & 0x%08x == 0x%08x ", mark.mask, mark.value);
}

struct StatementText {
  std::string operator()(const NoStatement& /*none*/) const { return ""; }
  std::string operator()(const Return& /*none*/) const { return " return"; }
  std::string operator()(const Dispatch& to) const {
    return " " + std::string(protocol_of(to.family)) + " saddr vmap @" + to.map;
  }
  std::string operator()(const KeepSource& keep) const {
    const std::string protocol(protocol_of(keep.family));
    return " snat " + protocol + " to " + protocol + " saddr";
  }
  std::string operator()(const SourceNat& nat) const {
    std::string text = " masquerade";
    std::string to;
    if (nat.to) {
      const auto address = net::to_text(*nat.to);
      text = " snat " + std::string(protocol_of(nat.to->family));
      to = nat.to->family == Family::ipv6 && nat.ports ? "[" + address + "]" : address;
    }
    if (nat.ports) to += ":" + config::to_text(*nat.ports);
    if (!to.empty()) text += " to " + to;
    return text + (nat.random_fully ? " fully-random" : "");
  }
};

}  // namespace

Table wanted_table(const Ruleset& ruleset, const std::vector<Entrance>& others) {
  Table table;
  auto entrances = entrances_of(ruleset);
  entrances.insert(entrances.end(), others.begin(), others.end());
  if (entrances.empty()) return table;
  std::ranges::stable_sort(entrances, {}, &Entrance::network);
  for (const auto& subnet : ruleset.pod_subnets) add_subnet(subnet, table);
  add_base_chain(ruleset, entrances, table);
  return table;
}

std::string chain_name(const std::string& network, const net::Prefix& subnet) {
  const bool begins_with_digit = !network.empty() && network.front() >= '0' && network.front() <= '9';
  return (begins_with_digit ? "_" : "") + network + "-" + chain_suffix(network, subnet);
}

std::optional<Entrance> entrance_of(const std::string& name, const std::vector<Rule>& rules) {
  const auto dash = name.rfind('-');
  if (dash == std::string::npos) return std::nullopt;
  const auto start = name.starts_with('_') ? std::size_t{1} : 0;
  const auto network = name.substr(start, dash - start);
  for (const auto& rule : rules) {
    if (rule.redirected && rule.destination && chain_name(network, *rule.destination) == name) {
      return Entrance{*rule.destination, network, name};
    }
  }
  return std::nullopt;
}

std::string kept_set(const std::string& chain) {
  return chain + "-kept";
}

std::string masqueraded_set(const std::string& chain) {
  return chain + "-masqueraded";
}

std::string to_text(const Rule& rule) {
  std::string text;
  if (rule.destination) {
    const auto& prefix = *rule.destination;
    text += std::string(protocol_of(prefix.family())) + " daddr " + net::to_text(net::range_of(prefix)) + " ";
  }
  if (rule.destination_in) {
    text +=
        std::string(protocol_of(rule.destination_in->family)) + " daddr @" + rule.destination_in->set + " ";
  }
  if (rule.mark) text += mark_text(*rule.mark);
  if (rule.to_local) text += "fib daddr type local ";
  if (rule.redirected) text += "ct status dnat ";
  if (rule.protocol) text += "meta l4proto " + std::string(nat::to_text(*rule.protocol)) + " ";
  if (rule.share) text += format("numgen random mod %u < %u ", rule.share->of, rule.share->below);
  return text + "counter" + std::visit(StatementText{}, rule.statement) + rule.other;
}

std::string to_text(const Interval<std::string>& element) {
  return net::to_text(element.range) + (element.value.empty() ? "" : " : goto " + element.value);
}

}  // namespace ipmasq::nat::nftables
