#include "nat/iptables_rules.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "nat/chain_suffix.hpp"

namespace ipmasq::nat::iptables {

namespace {

using net::Prefix;

constexpr std::string_view comment_start = "ip-masq: ";
constexpr std::string_view network_chain_start = "IP-MASQ-";
constexpr std::uint64_t certain = std::uint64_t{1} << 31U;  // xt_statistic's probability 1

std::string comment(std::string_view text) {
  return std::string(comment_start) + std::string(text);
}

std::optional<Prefix> unless_all(const Prefix& prefix) {
  return prefix.length == 0 ? std::nullopt : std::optional(prefix);
}

std::optional<net::Prefix> prefix_of(const Rule& rule, net::Family family) {
  if (rule.source && rule.source->family() != family) return std::nullopt;
  return rule.source ? *rule.source : Prefix{{family, {}}, 0};
}

void append_source_nat(const Translation& translation, const std::optional<Prefix>& destination,
                       std::vector<Rule>& rules) {
  for (const auto& part : source_nat_rules(translation)) {
    Rule rule{.destination = destination,
              .out_interface = part.out_interface,
              .protocol = part.protocol,
              .target = part.nat};
    if (!part.takes_all()) {
      const auto share = (part.ports * certain + part.ports_left / 2) / part.ports_left;
      rule.probability = static_cast<std::uint32_t>(share);
    }
    rules.push_back(std::move(rule));
  }
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
    const auto addresses = net::ends_text(*nat.to);
    const bool bracketed = nat.ports && family(*nat.to) == net::Family::ipv6;
    text += " --to-source " + (bracketed ? "[" + addresses + "]" : addresses);
    if (nat.ports) text += ":" + config::to_text(*nat.ports);
  } else if (nat.ports) {
    text += " --to-ports " + config::to_text(*nat.ports);
  }
  return text + (nat.random_fully ? " --random-fully" : "");
}

struct TargetText {
  std::string operator()(const Accept& /*target*/) const { return " -j ACCEPT"; }
  std::string operator()(const Return& /*target*/) const { return " -j RETURN"; }
  std::string operator()(const Jump& target) const { return " -j " + target.chain.text(); }
  std::string operator()(const Goto& target) const { return " -g " + target.chain.text(); }
  std::string operator()(const SourceNat& target) const { return to_text(target); }
  std::string operator()(const OtherTarget& target) const {
    return target.name.empty() ? "" : " -j " + target.name.text();
  }
};

std::string redirected_text(const Rule& rule) {
  if (rule.redirected == Redirected::by_status) return " -m conntrack --ctstate DNAT";
  const bool is_single = rule.destination->length == net::bits(rule.destination->family());
  return " -m conntrack ! --ctorigdst " +
         (is_single ? net::to_text(rule.destination->address) : net::to_text(*rule.destination));
}

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

Rule hook_rule() {
  return {.comment = comment("pod egress"), .target = Jump{std::string(main_chain)}};
}

Rule to_local_rule() {
  return {.to_local = true, .target = Return{}};
}

Rule yield_rule(const config::Mark& mark) {
  constexpr config::Mark kube_proxy{0x4000, 0x4000};
  constexpr config::Mark portmap{0x2000, 0x2000};
  const auto* const owner = mark == kube_proxy ? "left to kube-proxy"
                            : mark == portmap  ? "left to portmap"
                                               : "left alone";
  return {.mark = mark, .comment = comment(owner), .target = Return{}};
}

std::vector<Rule> hairpin_rules(const Prefix& source, const Prefix& subnet) {
  if (subnet.length == 0) return {};
  const auto hairpin = [&](Redirected redirected) {
    return Rule{.source = source,
                .destination = subnet,
                .redirected = redirected,
                .comment = comment("hairpin"),
                .target = Return{}};
  };
  if (subnet.is_host()) return {hairpin(Redirected::by_addressee)};
  return {hairpin(Redirected::by_status), hairpin(Redirected::by_addressee)};
}

Rule source_rule(const Source& source) {
  return {.source = unless_all(source.prefix),
          .comment = comment(nat::to_text(source.owner())),
          .target = Goto{chain_name(source.owner())}};
}

bool is_yield_rule(const Rule& rule) {
  return rule.mark && rule == yield_rule(*rule.mark);
}

bool is_hairpin_rule(const Rule& rule) {
  return rule.source && rule.redirected && rule.destination && rule.destination->contains(*rule.source) &&
         rule.target == Target(Return{});
}

std::optional<Source> source_of(const Rule& rule, net::Family family) {
  const auto* const target = std::get_if<Goto>(&rule.target);
  const auto prefix = prefix_of(rule, family);
  if (target == nullptr || !is_our_chain(target->chain.text()) || target->chain.text() == main_chain ||
      !prefix || !rule.comment.text().starts_with(comment_start))
    return std::nullopt;
  const auto owner = parse_owner(std::string_view(rule.comment.text()).substr(comment_start.size()));
  return Source{*prefix, owner.network, owner.policy};
}

std::vector<Rule> network_rules(const NetworkChain& chain) {
  std::vector<Rule> rules;
  rules.reserve(chain.destinations.size() + 1);
  for (const auto& destination : chain.destinations) {
    const auto prefix = unless_all(destination.prefix);
    if (destination.verdict == Verdict::masquerade) {
      append_source_nat(chain.translation, prefix, rules);
    } else if (chain.exemption == config::Exemption::hold) {
      rules.push_back({.destination = prefix, .target = Accept{}});
    } else {
      rules.push_back({.destination = prefix, .target = Return{}});
    }
  }
  if (chain.catch_all) append_source_nat(chain.translation, std::nullopt, rules);
  return rules;
}

std::string chain_name(const Owner& owner) {
  return std::string(network_chain_start) + chain_suffix(nat::to_text(owner));
}

bool is_our_chain(std::string_view name) {
  if (name == main_chain) return true;
  return name.starts_with(network_chain_start) && is_chain_suffix(name.substr(network_chain_start.size()));
}

std::string to_text(const std::string& chain, const Rule& rule) {
  std::string text = "-A " + chain;
  if (rule.source) text += " -s " + net::to_text(*rule.source);
  if (rule.destination) text += " -d " + net::to_text(*rule.destination);
  if (rule.out_interface) text += " -o " + rule.out_interface->text();
  if (rule.protocol) text += " -p " + std::string(nat::to_text(*rule.protocol));
  if (rule.mark) text += " -m mark --mark " + config::to_text(*rule.mark);
  if (rule.to_local) text += " -m addrtype --dst-type LOCAL";
  if (rule.redirected) text += redirected_text(rule);
  if (rule.probability) {
    text += format(" -m statistic --mode random --probability %.11f",
                   *rule.probability / static_cast<double>(certain));
  }
  if (!rule.comment.empty()) text += " -m comment --comment " + quoted(rule.comment);
  if (!rule.other_matches.empty()) text += " " + rule.other_matches.text();
  return text + std::visit(TargetText{}, rule.target);
}

}  // namespace ipmasq::nat::iptables
