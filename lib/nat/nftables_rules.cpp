#include "nat/nftables_rules.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "nat/chain_suffix.hpp"

namespace ipmasq::nat::nftables {

namespace {

using net::Family;
using Elements = std::vector<Interval<std::string>>;

constexpr std::array<Family, 2> families{Family::ipv4, Family::ipv6};
constexpr std::string_view ipv6_ending = "-6";

std::string map_of(Family family, SetKind kind) {
  return std::string(kind == SetKind::chain_of_address ? "pods" : "pod-subnets") +
         (family == Family::ipv4 ? "" : "6");
}

std::string protocol_of(Family family) {
  return family == Family::ipv4 ? "ip" : "ip6";
}

// What somebody redirected back into the pod subnet must be masqueraded by who redirected it, or the answer
// goes around the redirection. IPVS redirects without conntrack's DNAT status: then where the connection was
// sent to begin with tells. A single pod's packet reaches the pod itself only when redirected.
void add_hairpins(const std::string& name, const std::vector<net::Prefix>& sources, Table& table) {
  auto& rules = table.chains[name].rules;
  Elements selves;
  for (const auto& each : sources) {
    if (each.is_host()) {
      selves.push_back({net::range_of(each), ""});
      continue;
    }
    rules.push_back({.source = each, .destination = each, .redirected = true, .statement = Return{}});
    rules.push_back({.source = each, .destination = each, .not_sent_to = each, .statement = Return{}});
  }
  if (selves.empty()) return;
  const auto family = selves.front().range.first.family;
  std::ranges::sort(selves);
  table.sets[self_set(name)] = {.family = family, .kind = SetKind::selves, .elements = std::move(selves)};
  rules.push_back({.pair_in = InSet{family, self_set(name)}, .statement = Return{}});
}

Elements ranges_with(Verdict verdict, const NetworkChain& chain) {
  std::vector<std::pair<net::Prefix, Verdict>> prefixes;
  prefixes.reserve(chain.destinations.size());
  for (const auto& each : chain.destinations) prefixes.emplace_back(each.prefix, each.verdict);
  Elements ranges;
  for (const auto& interval : flatten(std::move(prefixes))) {
    if (interval.value == verdict) ranges.push_back({interval.range, ""});
  }
  return ranges;
}

// nft lists addresses that are a whole prefix as that prefix, which it does not read with ports: then the
// last address has a rule of its own, and its share.
std::vector<SourceNatRule> listed_alike(const std::vector<SourceNatRule>& rules) {
  constexpr std::uint32_t most_addresses = 1U << 15U;  // a share of more is as good as all
  std::vector<SourceNatRule> all;
  for (const auto& each : rules) {
    const auto& to = each.nat.to;
    if (!to || !each.nat.ports || to->first == to->last || !net::prefix_of(*to)) {
      all.push_back(each);
      continue;
    }
    const auto host_bits = net::bits(family(*to)) - net::prefix_of(*to)->length;
    const auto addresses = host_bits < 15 ? 1U << host_bits : most_addresses;
    auto all_but_last = each;
    all_but_last.nat.to->last = *net::previous(to->last);  // NOLINT(bugprone-unchecked-optional-access)
    all_but_last.ports = each.ports * (addresses - 1);
    all_but_last.ports_left = each.ports_left * addresses;
    auto last = each;
    last.nat.to->first = to->last;
    last.ports_left = all_but_last.ports_left - all_but_last.ports;
    all.push_back(std::move(all_but_last));
    all.push_back(std::move(last));
  }
  return all;
}

void append_source_nat(const Translation& translation, const std::optional<InSet>& destinations,
                       std::vector<Rule>& rules) {
  for (const auto& each : listed_alike(source_nat_rules(translation))) {
    Rule rule{.out_interface = each.out_interface,
              .destination_in = destinations,
              .protocol = each.protocol,
              .statement = each.nat};
    if (!each.takes_all()) rule.share = Share{each.ports, each.ports_left};
    rules.push_back(std::move(rule));
  }
}

// The name of the map; empty where nothing of the kind leads anywhere.
std::string add_map(const std::string& beginning, Family family, SetKind kind, const std::vector<Lead>& leads,
                    Table& table) {
  std::vector<std::pair<net::Prefix, std::string>> sources;
  for (const auto& each : leads) {
    const auto& prefix = each.source.prefix;
    if (prefix.family() == family && prefix.is_host() == (kind == SetKind::chain_of_address))
      sources.emplace_back(prefix, each.chain);
  }
  if (sources.empty()) return "";
  auto name = beginning + map_of(family, kind);
  auto& set = table.sets[name];
  set = {.family = family, .kind = kind};
  if (has_ranges(kind)) {
    set.elements = flatten(std::move(sources));
  } else {
    std::ranges::stable_sort(sources, {}, &std::pair<net::Prefix, std::string>::first);
    for (const auto& [prefix, chain] : sources) {
      const auto range = net::range_of(prefix);
      if (set.elements.empty() || set.elements.back().range != range) set.elements.push_back({range, chain});
    }
  }
  return name;
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

std::string prefix_text(const net::Prefix& prefix) {
  return net::to_text(net::range_of(prefix)) + " ";
}

std::string addresses_text(const Rule& rule) {
  std::string text;
  if (rule.out_interface) text += "oifname \"" + *rule.out_interface + "\" ";
  if (rule.source) text += protocol_of(rule.source->family()) + " saddr " + prefix_text(*rule.source);
  if (rule.destination)
    text += protocol_of(rule.destination->family()) + " daddr " + prefix_text(*rule.destination);
  if (rule.pair_in) {
    const auto protocol = protocol_of(rule.pair_in->family);
    text.append(protocol).append(" saddr . ").append(protocol).append(" daddr @" + rule.pair_in->set + " ");
  }
  if (rule.destination_in)
    text += protocol_of(rule.destination_in->family) + " daddr @" + rule.destination_in->set + " ";
  return text;
}

// Each end of a range has brackets of its own.
std::string addresses_of(const SourceNat& nat) {
  if (!nat.ports) return net::to_text(*nat.to);
  const auto text = [](const net::Address& address) {
    const auto plain = net::to_text(address);
    return address.family == Family::ipv6 ? "[" + plain + "]" : plain;
  };
  return text(nat.to->first) + (nat.to->first == nat.to->last ? "" : "-" + text(nat.to->last));
}

struct StatementText {
  std::string operator()(const NoStatement& /*none*/) const { return ""; }
  std::string operator()(const Return& /*none*/) const { return " return"; }
  std::string operator()(const Drop& /*none*/) const { return " drop"; }
  std::string operator()(const Dispatch& to) const {
    return " " + protocol_of(to.family) + " saddr vmap @" + to.map;
  }
  std::string operator()(const KeepSource& keep) const {
    const auto protocol = protocol_of(keep.family);
    return " snat " + protocol + " to " + protocol + " saddr";
  }
  std::string operator()(const SourceNat& nat) const {
    std::string text = " masquerade";
    std::string to;
    if (nat.to) {
      text = " snat " + protocol_of(family(*nat.to));
      to = addresses_of(nat);
    }
    if (nat.ports) to += ":" + config::to_text(*nat.ports);
    if (!to.empty()) text += " to " + to;
    return text + (nat.random_fully ? " fully-random" : "");
  }
};

}  // namespace

void add_chain(const NetworkChain& chain, const std::vector<net::Prefix>& sources, Table& table) {
  const auto name = chain_name(chain.owner(), chain.family);
  auto subnets = sources;
  for (const auto& each : chain.shared_subnets) {
    if (std::ranges::find(sources, each) == sources.end()) subnets.push_back(each);
  }
  add_hairpins(name, subnets, table);
  auto& rules = table.chains[name].rules;
  if (const auto kept = add_destinations(kept_set(name), Verdict::keep, chain, table)) {
    const bool holds = chain.exemption == config::Exemption::hold;
    rules.push_back(
        {.destination_in = kept, .statement = holds ? Statement(KeepSource{chain.family}) : Return{}});
  }
  if (chain.catch_all) {
    append_source_nat(chain.translation, std::nullopt, rules);
  } else if (const auto holes = add_destinations(masqueraded_set(name), Verdict::masquerade, chain, table)) {
    append_source_nat(chain.translation, holes, rules);
  }
}

void add_base_chain(const std::vector<config::Mark>& yield_marks, std::vector<Lead> leads, Table& table) {
  auto& chain = table.chains[std::string(base_chain)];
  chain.is_base = true;
  for (const auto& mark : yield_marks) chain.rules.push_back({.mark = mark, .statement = Return{}});
  chain.rules.push_back({.to_local = true, .statement = Return{}});
  add_maps("", std::move(leads), base_chain, {}, table);
}

std::optional<InSet> add_destinations(const std::string& set, Verdict verdict, const NetworkChain& chain,
                                      Table& table) {
  auto ranges = ranges_with(verdict, chain);
  if (ranges.empty()) return std::nullopt;
  table.sets[set] = {.family = chain.family, .elements = std::move(ranges)};
  return InSet{chain.family, set};
}

void add_maps(const std::string& beginning, std::vector<Lead> leads, std::string_view base,
              const Rule& asking, Table& table) {
  std::ranges::stable_sort(leads, {}, [](const Lead& lead) { return lead.source.owner(); });
  for (const auto family : families) {
    for (const auto kind : {SetKind::chain_of_address, SetKind::chain_of_range}) {
      const auto map = add_map(beginning, family, kind, leads, table);
      if (map.empty()) continue;
      auto rule = asking;
      rule.statement = Dispatch{family, map};
      table.chains[std::string(base)].rules.push_back(std::move(rule));
    }
  }
}

std::string chain_name(const Owner& owner, net::Family family) {
  const auto text = nat::to_text(owner);
  const bool begins_with_digit = !text.empty() && text.front() >= '0' && text.front() <= '9';
  return (begins_with_digit ? "_" : "") + text + "-" + chain_suffix(text) +
         (family == Family::ipv6 ? std::string(ipv6_ending) : "");
}

std::optional<std::string> network_of_chain(const std::string& name) {
  const auto owner = owner_of_chain(name);
  return owner ? std::optional(owner->network) : std::nullopt;
}

std::optional<Owner> owner_of_chain(const std::string& name) {
  std::string_view rest = name;
  const auto take_suffix = [&rest] {
    const auto dash = rest.rfind('-');
    if (dash == std::string_view::npos || !is_chain_suffix(rest.substr(dash + 1))) return false;
    rest = rest.substr(0, dash);
    return true;
  };
  if (!take_suffix()) {
    if (!rest.ends_with(ipv6_ending)) return std::nullopt;
    rest.remove_suffix(ipv6_ending.size());
    if (!take_suffix()) return std::nullopt;
  }
  if (rest.starts_with('_')) rest.remove_prefix(1);
  if (rest.empty()) return std::nullopt;
  return parse_owner(rest);
}

std::string kept_set(const std::string& chain) {
  return chain + "-kept";
}

std::string masqueraded_set(const std::string& chain) {
  return chain + "-masqueraded";
}

std::string self_set(const std::string& chain) {
  return chain + "-self";
}

std::vector<std::string> sets_of(const Rule& rule) {
  std::vector<std::string> sets;
  if (rule.pair_in) sets.push_back(rule.pair_in->set);
  if (rule.destination_in) sets.push_back(rule.destination_in->set);
  if (const auto* const dispatch = std::get_if<Dispatch>(&rule.statement)) sets.push_back(dispatch->map);
  return sets;
}

std::string to_text(const Rule& rule) {
  auto text = addresses_text(rule);
  if (rule.mark) text += mark_text(*rule.mark);
  if (rule.to_local) text += "fib daddr type local ";
  if (rule.redirected) text += "ct status dnat ";
  if (rule.is_invalid) text += "ct state invalid ";
  if (rule.not_sent_to) {
    text += "ct original " + protocol_of(rule.not_sent_to->family()) +
            " daddr != " + prefix_text(*rule.not_sent_to);
  }
  if (rule.protocol) text += "meta l4proto " + std::string(nat::to_text(*rule.protocol)) + " ";
  if (rule.share) text += format("numgen random mod %u < %u ", rule.share->of, rule.share->below);
  return text + "counter" + std::visit(StatementText{}, rule.statement) + rule.other;
}

std::string to_text(const Interval<std::string>& element, SetKind kind) {
  auto text = net::to_text(element.range);
  if (kind == SetKind::selves) text += " . " + text;
  return text + (element.value.empty() ? "" : " : goto " + element.value);
}

}  // namespace ipmasq::nat::nftables
