#include "nat/told_contradictions.hpp"

namespace ipmasq::nat {

namespace {

std::string commented(const std::string& command) {
  return command.starts_with('#') ? command : "# " + command;
}

std::string fix_of(Contradiction::Kind kind, const ForeignRule& rule) {
  // Of a map, others' packets may need the rest; of what is not known nobody can say who needs it.
  const bool is_by_map = kind == Contradiction::Kind::yield_mark_set && rule.mark_map;
  const auto removal = is_by_map ? "# that mark alone, out of map " + shell_word(rule.mark_map->set) +
                                       "; or with all of the map: " + delete_command(rule)
                       : kind == Contradiction::Kind::not_known ? commented(delete_command(rule))
                                                                : delete_command(rule);
  return kind == Contradiction::Kind::yield_mark_set
             ? "have its owner use another bit, or take the mark out of yieldMarks; or take it away: " +
                   removal
             : "have its owner spare the pods, or take it away: " + removal;
}

}  // namespace

void ToldContradictions::add(Contradiction::Kind kind, bool is_certain, const ForeignRule& rule,
                             const std::string& does, std::optional<Fate> becomes) {
  const auto [place, is_new] = places_.try_emplace({kind, &rule}, all_.size());
  if (!is_new && (!is_certain || all_[place->second].is_certain)) return;
  Contradiction found{kind,          is_certain,         does,
                      to_text(rule), fix_of(kind, rule), is_certain ? becomes : std::nullopt};
  if (is_new) {
    all_.push_back(std::move(found));
  } else {
    all_[place->second] = std::move(found);
  }
}

}  // namespace ipmasq::nat
