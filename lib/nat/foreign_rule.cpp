#include "nat/foreign_rule.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

namespace ipmasq::nat {

namespace {

constexpr std::uint8_t delete_character = 0x7f;

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string(R"('\'')") : std::string(1, c);
  return result + "'";
}

// As iptables calls them.
std::string states_text(std::uint32_t states) {
  struct Name {
    std::uint32_t bits;
    const char* name;
  };
  constexpr std::array<Name, 6> names{{{connection_state::invalid, "INVALID"},
                                       {connection_state::established, "ESTABLISHED"},
                                       {connection_state::related, "RELATED"},
                                       {connection_state::fresh, "NEW"},
                                       {connection_state::untracked, "UNTRACKED"},
                                       {connection_state::translated, "SNAT,DNAT"}}};
  std::string text;
  for (const auto& each : names) {
    if ((states & each.bits) != 0) text += (text.empty() ? "" : ",") + std::string(each.name);
  }
  return text.empty() ? "none" : text;
}

std::string flags_text(const TcpFlags& flags) {
  std::array<char, 16> text{};
  // NOLINTNEXTLINE(cert-err33-c): it fits
  std::snprintf(text.data(), text.size(), "0x%02x 0x%02x", flags.mask, flags.set);
  return text.data();
}

const char* name_of(const Lookup& lookup) {
  if (lookup.destination_at) return "-d";
  if (lookup.source_at || !lookup.is_told()) return "-s";
  return lookup.in_interface_at    ? "-i"
         : lookup.out_interface_at ? "-o"
         : lookup.state_at         ? "--ctstate"
                                   : "-p";
}

std::string matches_text(const ForeignRule& rule) {
  std::string text;
  const auto add = [&text](bool inverted, const char* name, const std::string& value) {
    text += std::string(inverted ? " ! " : " ") + name + " " + value;
  };
  if (rule.source) add(rule.source->inverted, "-s", net::to_text(rule.source->value));
  if (rule.destination) add(rule.destination->inverted, "-d", net::to_text(rule.destination->value));
  if (rule.in_interface) add(rule.in_interface->inverted, "-i", shell_word(rule.in_interface->value));
  if (rule.out_interface) add(rule.out_interface->inverted, "-o", shell_word(rule.out_interface->value));
  if (rule.protocol) add(rule.protocol->inverted, "-p", std::to_string(rule.protocol->value));
  if (rule.is_fragment) text += *rule.is_fragment ? " -f" : " ! -f";
  if (rule.source_range || rule.destination_range) text += " -m iprange";
  if (rule.source_range)
    add(rule.source_range->inverted, "--src-range", net::ends_text(rule.source_range->value));
  if (rule.destination_range)
    add(rule.destination_range->inverted, "--dst-range", net::ends_text(rule.destination_range->value));
  if (rule.mark) {
    text += " -m mark";
    add(rule.mark->inverted, "--mark", config::to_text(rule.mark->value));
  }
  if (rule.connection_mark) {
    text += " -m connmark";
    add(rule.connection_mark->inverted, "--mark", config::to_text(rule.connection_mark->value));
  }
  if (rule.states) {
    text += " -m conntrack";
    add(rule.states->inverted, "--ctstate", states_text(rule.states->value));
  }
  if (rule.tcp_flags) {
    text += " -m tcp";
    add(rule.tcp_flags->inverted, "--tcp-flags", flags_text(rule.tcp_flags->value));
  }
  if (rule.is_bridged)
    text += *rule.is_bridged ? " -m physdev --physdev-is-bridged" : " -m physdev ! --physdev-is-bridged";
  if (rule.has_way_back) text += *rule.has_way_back ? " -m rpfilter" : " -m rpfilter --invert";
  if (!rule.comment.empty()) text += " -m comment --comment " + quoted(rule.comment);
  if (rule.to_local) text += " -m addrtype --dst-type LOCAL";
  if (rule.not_to_local) text += " -m addrtype ! --dst-type LOCAL";
  if (rule.from_local) text += " -m addrtype --src-type LOCAL";
  for (const auto& lookup : rule.lookups) add(lookup.inverted, name_of(lookup), "@" + shell_word(lookup.set));
  for (const auto& kind : rule.other_matches) text += " -m " + kind + " ...";
  return text;
}

std::string target_text(const ForeignRule& rule) {
  if (rule.verdicts) return " vmap @" + shell_word(rule.verdicts->set);
  if (rule.target.empty()) return "";
  return (rule.is_goto ? " -g " : " -j ") + (rule.is_jump ? shell_word(rule.target) : rule.target);
}

std::string zone_text(Zone::Of direction, bool is_of_iptables) {
  switch (direction) {
    case Zone::Of::both:
      break;
    case Zone::Of::sent:
      return is_of_iptables ? " --zone-orig" : " original zone set";
    case Zone::Of::answers:
      return is_of_iptables ? " --zone-reply" : " reply zone set";
  }
  return is_of_iptables ? " --zone" : " zone set";
}

std::string effects_text(const ForeignRule& rule) {
  // Targets whose name says what they rewrite.
  constexpr std::array<std::string_view, 6> rewriting{"SNPT", "DNPT", "RAWSNAT", "RAWDNAT", "dnat", "FWD"};
  const bool says_all = std::ranges::find(rewriting, rule.target) != rewriting.end();
  std::string text;
  if (rule.translates_to) text += " --to-source " + net::to_text(*rule.translates_to);
  if (rule.redirection && rule.redirection->to)
    text += " --to-destination " + net::to_text(*rule.redirection->to);
  if (rule.zone) {
    text += zone_text(rule.zone->of, rule.target == "CT");
    if (rule.zone->number) text += " " + std::to_string(*rule.zone->number);
  }
  if (rule.untracks && rule.target != "NOTRACK") text += rule.target == "CT" ? " --notrack" : " notrack";
  if (rule.mark_change && (rule.mark_change->other | rule.mark_change->unknown) != 0) {
    text += " mark set";
  } else if (rule.mark_change) {
    std::array<char, 48> change{};
    std::snprintf(change.data(), change.size(), " --set-xmark 0x%x/0x%x",  // NOLINT(cert-err33-c): it fits
                  rule.mark_change->flip, ~rule.mark_change->keep);
    text += change.data();
  }
  if (rule.rewrites_source && !says_all) text += " saddr set";
  if (rule.redirection && !says_all && !rule.redirection->by_nat && !rule.redirection->to_this_node)
    text += " daddr set";
  return text;
}

std::string place(const ForeignRule& rule) {
  return rule.family + " " + shell_word(rule.table) + " " + shell_word(rule.chain) + " handle " +
         std::to_string(rule.handle);
}

// Whether iptables would know the rule again by what is told of it: matches in their order, all of its
// target.
bool is_told_whole(const ForeignRule& rule) {
  const auto is_plain = [](const std::string& text) { return printable(text) == text; };
  const bool has_more = !rule.other_matches.empty() || rule.redirection || rule.translates_to ||
                        rule.rewrites_source || rule.is_not_known || rule.connection_mark_change ||
                        (rule.mark_change && (rule.mark_change->other | rule.mark_change->unknown) != 0);
  // Their order among others', and how they were written, is not known.
  const bool has_extensions = rule.source_range || rule.destination_range || rule.connection_mark ||
                              rule.states || rule.tcp_flags || rule.is_bridged || rule.has_way_back;
  const bool is_in_order =
      !has_extensions && (!rule.mark || (rule.comment.empty() && !rule.to_local && !rule.not_to_local));
  const auto has_plain_name = [&](const std::optional<Match<std::string>>& interface) {
    return !interface || is_plain(interface->value);
  };
  return !has_more && is_in_order && is_plain(rule.comment) && is_plain(rule.chain) &&
         is_plain(rule.target) && has_plain_name(rule.in_interface) && has_plain_name(rule.out_interface);
}

// A word of nft's language (its scanner.l: string).
bool is_nft_name(std::string_view text) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.";
  constexpr std::string_view others = "0123456789/-";
  return !text.empty() && letters.find(text[0]) != std::string_view::npos &&
         std::ranges::all_of(text, [&](char c) {
           return letters.find(c) != std::string_view::npos || others.find(c) != std::string_view::npos;
         });
}

// Bytes of the UTF-8 character that `text` begins with; 0 where it begins with none.
std::size_t character_length(std::string_view text) {
  const auto byte = [text](std::size_t index) { return static_cast<std::uint8_t>(text[index]); };
  if (byte(0) < 0x80) return 1;
  const std::size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return 0;
  std::uint32_t code = byte(0) & (0x7fU >> length);
  for (std::size_t index = 1; index < length; ++index) {
    if ((byte(index) & 0xc0U) != 0x80) return 0;
    code = code << 6U | (byte(index) & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < least.at(length) || code > 0x10ffff || is_surrogate ? 0 : length;
}

// C1 controls, and the characters that turn the direction of a line around.
bool is_shown(std::string_view character) {
  const auto first = static_cast<std::uint8_t>(character[0]);
  if (character.size() == 1) return first >= ' ' && first != delete_character;
  if (first == 0xc2) return static_cast<std::uint8_t>(character[1]) >= 0xa0;
  if (character.size() != 3) return true;
  const auto bits = [character](std::size_t index, unsigned mask) {
    return static_cast<std::uint8_t>(character[index]) & mask;
  };
  const auto code = bits(0, 0xfU) << 12U | bits(1, 0x3fU) << 6U | bits(2, 0x3fU);
  const bool is_mark = code == 0x200e || code == 0x200f;
  const bool turns = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return !is_mark && !turns;
}

}  // namespace

std::uint32_t MarkChange::moved(std::uint32_t bits) const {
  constexpr int all = std::numeric_limits<std::uint32_t>::digits;
  if (moved_by >= all || moved_by <= -all) return 0;
  return moved_by < 0 ? bits >> static_cast<unsigned>(-moved_by) : bits << static_cast<unsigned>(moved_by);
}

bool Lookup::is_told() const {
  return source_at || destination_at || state_at || protocol_at || in_interface_at || out_interface_at;
}

bool ForeignRule::translates() const {
  return !is_jump && (target == "MASQUERADE" || target == "SNAT");
}

bool ForeignRule::is_of_services() const {
  constexpr std::array<std::string_view, 4> chains{"KUBE-MARK-MASQ", "mark-for-masquerade",
                                                   "CNI-HOSTPORT-SETMARK", "CNI-SETMARK"};
  return std::ranges::find(chains, chain) != chains.end();
}

bool ForeignRule::yields() const {
  return mark && !mark->inverted && !is_jump && target == "RETURN";
}

std::string shell_word(const std::string& text) {
  constexpr auto plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+./:@%,=";
  return !text.empty() && text.find_first_not_of(plain) == std::string::npos ? text : quoted(text);
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const auto length = character_length(text);
    const auto character = text.substr(0, std::max<std::size_t>(length, 1));
    if (length > 0 && is_shown(character)) {
      shown += character;
    } else {
      for (const char c : character) {
        std::array<char, 8> code{};
        std::snprintf(code.data(), code.size(), "\\x%02x",  // NOLINT(cert-err33-c): it fits
                      static_cast<unsigned>(static_cast<std::uint8_t>(c)));
        shown += code.data();
      }
    }
    text.remove_prefix(character.size());
  }
  return shown;
}

std::string specification(const ForeignRule& rule) {
  return rule.parts_before.value_or("") + matches_text(rule) + target_text(rule) + effects_text(rule);
}

namespace {

// At an interface, beside netfilter.
std::string text_of_program(const ForeignRule& rule) {
  const auto device = " dev " + shell_word(rule.table);
  return rule.chain == "xdp" ? "ip link show" + device + ": " + rule.comment
                             : "tc filter show" + device + " " + rule.chain + " pref " +
                                   std::to_string(rule.number) + ": " + rule.comment;
}

std::string end_of_program(const ForeignRule& rule) {
  const auto device = " dev " + shell_word(rule.table);
  return rule.chain == "xdp"
             ? "ip link set" + device + " " + rule.comment + " off"
             : "tc filter del" + device + " " + rule.chain + " pref " + std::to_string(rule.number);
}

}  // namespace

std::string to_text(const ForeignRule& rule) {
  if (rule.program == "tc") return printable(text_of_program(rule));
  if (rule.program == "nft") return printable("nft " + place(rule) + ":" + specification(rule));
  return printable(rule.program + " -t " + rule.table + " -A " + shell_word(rule.chain) +
                   specification(rule));
}

bool can_be_named_to_nft(const std::string& table, const std::string& chain) {
  return is_nft_name(table) && is_nft_name(chain);
}

std::string by_its_owner(const std::string& what) {
  return printable("# have its owner take it away, no command can name it: " + what);
}

bool is_deleted_by_number(const ForeignRule& rule) {
  return rule.program != "nft" && rule.program != "tc" && !is_told_whole(rule) &&
         printable(rule.chain) == rule.chain;
}

std::string delete_command(const ForeignRule& rule) {
  if (rule.program == "tc") return printable(end_of_program(rule));
  if (rule.program == "nft") {
    return can_be_named_to_nft(rule.table, rule.chain) ? "nft delete rule " + place(rule)
                                                       : by_its_owner(place(rule));
  }
  if (printable(rule.chain) != rule.chain) return by_its_owner(to_text(rule));
  const auto start = rule.program + " -t " + rule.table + " -D " + shell_word(rule.chain);
  if (is_told_whole(rule)) return start + specification(rule);
  return printable(start + " " + std::to_string(rule.number));
}

std::optional<std::uint16_t> lost_queue(const ForeignRule& rule, const Foreign& foreign) {
  if (!rule.queues || rule.queues->may_be_unread || !foreign.read_queues) return std::nullopt;
  for (std::uint32_t queue = rule.queues->first; queue <= rule.queues->last; ++queue) {
    const auto number = static_cast<std::uint16_t>(queue);
    if (!foreign.read_queues->contains(number)) return number;
  }
  return std::nullopt;
}

}  // namespace ipmasq::nat
