#include "nat/iptables_rules.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "nat/chain_suffix.hpp"

namespace ipmasq::nat::iptables {

namespace {

using net::Prefix;

constexpr std::string_view comment_start = "ip-masq: ";
constexpr std::string_view subnet_chain_start = "IP-MASQ-";
constexpr std::uint64_t certain = std::uint64_t{1} << 31U;  // xt_statistic's probability 1

std::string comment(std::string_view text) {
  return std::string(comment_start) + std::string(text);
}

std::optional<Prefix> unless_all(const Prefix& prefix) {
  return prefix.length == 0 ? std::nullopt : std::optional(prefix);
}

Rule yield_rule(const config::Mark& mark) {
  constexpr config::Mark kube_proxy{0x4000, 0x4000};
  constexpr config::Mark portmap{0x2000, 0x2000};
  const auto* const owner = mark == kube_proxy ? "left to kube-proxy"
                            : mark == portmap  ? "left to portmap"
                                               : "left alone";
  return {.mark = mark, .comment = comment(owner), .target = Return{}};
}

// Source ports are picked in two steps, first the range (by its share of all ports), then a port in it by the
// kernel.
void append_source_nat(const Translation& translation, const std::optional<Prefix>& destination,
                       std::vector<Rule>& rules) {
  for (const auto protocol : protocols_with_ports) {
    std::uint64_t left = 0;
    for (const auto& range : translation.to_ports) left += range.size();
    for (const auto& range : translation.to_ports) {
      const auto share = (range.size() * certain + left / 2) / left;
      left -= range.size();
      Rule rule{.destination = destination,
                .protocol = protocol,
                .target = SourceNat{translation.snat_to, range, translation.random_fully}};
      if (left > 0) rule.probability = static_cast<std::uint32_t>(share);
      rules.push_back(rule);
    }
  }
  rules.push_back(
      {.destination = destination, .target = SourceNat{translation.snat_to, {}, translation.random_fully}});
}

std::vector<Rule> subnet_chain(const PodSubnet& subnet) {
  // What somebody redirected back into the pod subnet must be masqueraded by who redirected it, or the answer
  // goes around the redirection.
  std::vector<Rule> rules{{.destination = unless_all(subnet.prefix),
                           .redirected = true,
                           .comment = comment("hairpin"),
                           .target = Return{}}};
  for (const auto& destination : subnet.destinations) {
    const auto prefix = unless_all(destination.prefix);
    if (destination.verdict == Verdict::masquerade) {
      append_source_nat(subnet.translation, prefix, rules);
    } else if (subnet.exemption == config::Exemption::hold) {
      rules.push_back({.destination = prefix, .target = Accept{}});
    } else {
      rules.push_back({.destination = prefix, .target = Return{}});
    }
  }
  if (subnet.catch_all) append_source_nat(subnet.translation, std::nullopt, rules);
  return rules;
}

template <typename... Parts>
std::string format(const char* pattern, Parts... parts) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, parts...);  // NOLINT(cert-err33-c): it fits
  return text.data();
}

std::string to_text(const SourceNat& nat) {
  std::string text = nat.to ? " -j SNAT" : " -j MASQUERADE";
  if (nat.to) {
    const auto address = net::to_text(*nat.to);
    const bool bracketed = nat.ports && nat.to->family == net::Family::ipv6;
    text += " --to-source " + (bracketed ? "[" + address + "]" : address);
    if (nat.ports) text += ":" + config::to_text(*nat.ports);
  } else if (nat.ports) {
    text += " --to-ports " + config::to_text(*nat.ports);
  }
  return text + (nat.random_fully ? " --random-fully" : "");
}

struct TargetText {
  std::string operator()(const Accept& /*target*/) const { return " -j ACCEPT"; }
  std::string operator()(const Return& /*target*/) const { return " -j RETURN"; }
  std::string operator()(const Jump& target) const { return " -j " + target.chain; }
  std::string operator()(const Goto& target) const { return " -g " + target.chain; }
  std::string operator()(const SourceNat& target) const { return to_text(target); }
  std::string operator()(const OtherTarget& target) const {
    return target.name.empty() ? "" : " -j " + target.name;
  }
};

// iptables puts into quotes what has anything but these, and a backslash before the quotes within.
std::string quoted(const std::string& text) {
  constexpr auto plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\'') result += '\\';
    result += c;
  }
  return result + "\"";
}

}  // namespace

std::string chain_name(const std::string& network, const Prefix& subnet) {
  return std::string(subnet_chain_start) + chain_suffix(network, subnet);
}

bool is_our_chain(std::string_view name) {
  if (name == main_chain) return true;
  return name.starts_with(subnet_chain_start) && is_chain_suffix(name.substr(subnet_chain_start.size()));
}

Rule hook_rule() {
  return {.comment = comment("pod egress"), .target = Jump{std::string(main_chain)}};
}

Chains wanted_chains(const Ruleset& ruleset, net::Family family) {
  Chains chains;
  std::vector<Rule> main;
  for (const auto& mark : ruleset.yield_marks) main.push_back(yield_rule(mark));
  main.push_back({.to_local = true, .target = Return{}});
  for (const auto& subnet : ruleset.pod_subnets) {
    if (subnet.prefix.family() != family) continue;
    const auto name = chain_name(subnet.network, subnet.prefix);
    main.push_back(
        {.source = unless_all(subnet.prefix), .comment = comment(subnet.network), .target = Goto{name}});
    chains[name] = subnet_chain(subnet);
  }
  if (!chains.empty()) chains[std::string(main_chain)] = main;
  return chains;
}

std::optional<std::string> network_of_rule(const Rule& rule) {
  const auto* const target = std::get_if<Goto>(&rule.target);
  if (target == nullptr || !is_our_chain(target->chain) || !rule.comment.starts_with(comment_start))
    return std::nullopt;
  return rule.comment.substr(comment_start.size());
}

std::string to_text(const std::string& chain, const Rule& rule) {
  std::string text = "-A " + chain;
  if (rule.source) text += " -s " + net::to_text(*rule.source);
  if (rule.destination) text += " -d " + net::to_text(*rule.destination);
  if (rule.protocol) text += " -p " + std::string(nat::to_text(*rule.protocol));
  if (rule.mark) text += " -m mark --mark " + config::to_text(*rule.mark);
  if (rule.to_local) text += " -m addrtype --dst-type LOCAL";
  if (rule.redirected) text += " -m conntrack --ctstate DNAT";
  if (rule.probability) {
    text += format(" -m statistic --mode random --probability %.11f",
                   *rule.probability / static_cast<double>(certain));
  }
  if (!rule.comment.empty()) text += " -m comment --comment " + quoted(rule.comment);
  if (!rule.other_matches.empty()) text += " " + rule.other_matches;
  return text + std::visit(TargetText{}, rule.target);
}

}  // namespace ipmasq::nat::iptables
