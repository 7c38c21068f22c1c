#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string(R"('\'')") : std::string(1, c);
  return result + "'";
}

std::string specification(const ForeignRule& rule) {
  const auto flag = [](bool inverted, const char* name, const std::string& value) {
    return std::string(inverted ? " ! " : " ") + name + " " + value;
  };
  std::string text;
  if (rule.source) text += flag(rule.source->inverted, "-s", net::to_text(rule.source->value));
  if (rule.destination) text += flag(rule.destination->inverted, "-d", net::to_text(rule.destination->value));
  if (rule.out_interface) text += flag(rule.out_interface->inverted, "-o", rule.out_interface->value);
  if (!rule.comment.empty()) text += " -m comment --comment " + quoted(rule.comment);
  if (rule.not_to_local) text += " -m addrtype ! --dst-type LOCAL";
  return text + (rule.target.empty() ? "" : " -j " + rule.target);
}

std::string place(const ForeignRule& rule) {
  return rule.family + " " + rule.table + " " + rule.chain + " handle " + std::to_string(rule.handle);
}

}  // namespace

std::string to_text(const ForeignRule& rule) {
  if (rule.program == "nft") return "nft " + place(rule) + ":" + specification(rule);
  return rule.program + " -t nat -A " + rule.chain + specification(rule);
}

std::string delete_command(const ForeignRule& rule) {
  if (rule.program == "nft") return "nft delete rule " + place(rule);
  return rule.program + " -t nat -D " + rule.chain + specification(rule);
}

}  // namespace ipmasq::nat
