#include "nat/nftables_difference.hpp"

#include <algorithm>
#include <utility>

#include "nat/difference_lines.hpp"
#include "nat/edit_script.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Elements = std::vector<Interval<std::string>>;

std::vector<Rule> rules_of(const ObservedChain& chain) {
  std::vector<Rule> rules;
  for (const auto& observed : chain.rules) rules.push_back(observed.rule);
  return rules;
}

// Chains that are not wanted but belong to networks whose attachments are not known.
std::vector<Entrance> unknown_entrances(const ObservedTable& observed, const Ruleset& wanted) {
  const auto table = wanted_table(wanted);
  std::vector<Entrance> entrances;
  for (const auto& [name, chain] : observed.chains) {
    if (table.chains.contains(name)) continue;
    const auto entrance = entrance_of(name, rules_of(chain));
    if (entrance && !wanted.known_networks.contains(entrance->network)) entrances.push_back(*entrance);
  }
  return entrances;
}

// They are taken over as they are, with the yield marks that those pods had.
void keep(const std::vector<Entrance>& entrances, const ObservedTable& observed, Table& table) {
  if (entrances.empty()) return;
  for (const auto& entrance : entrances) {
    table.chains[entrance.chain].rules = rules_of(observed.chains.at(entrance.chain));
    for (const auto& name : {kept_set(entrance.chain), masqueraded_set(entrance.chain)}) {
      const auto set = observed.sets.find(name);
      if (set != observed.sets.end()) table.sets[name] = set->second.set;
    }
  }
  const auto base = observed.chains.find(std::string(base_chain));
  if (base == observed.chains.end()) return;
  auto& rules = table.chains.at(std::string(base_chain)).rules;
  for (const auto& rule : rules_of(base->second)) {
    const bool is_yield = rule == Rule{.mark = rule.mark, .statement = Return{}} && rule.mark;
    if (!is_yield || std::ranges::find(rules, rule) != rules.end()) continue;
    rules.insert(std::ranges::find_if(rules, [](const Rule& other) { return !other.mark; }), rule);
  }
}

// What of the observed table no edit mends; empty where there is nothing of the kind.
std::string trouble_of(const ObservedTable& observed, const Table& wanted) {
  if (!observed.trouble.empty()) return observed.trouble;
  for (const auto& [name, chain] : wanted.chains) {
    const auto found = observed.chains.find(name);
    if (found == observed.chains.end()) continue;
    if (!found->second.trouble.empty()) return "chain " + name + " " + found->second.trouble;
    if (found->second.is_base != chain.is_base)
      return "chain " + name + (chain.is_base ? " is no base chain" : " is a base chain");
  }
  for (const auto& [name, set] : wanted.sets) {
    const auto found = observed.sets.find(name);
    if (found == observed.sets.end()) continue;
    const auto& there = found->second;
    if (!there.trouble.empty()) return "set " + name + " " + there.trouble;
    if (there.set.family != set.family || there.set.is_map != set.is_map)
      return "set " + name + " is of another type";
  }
  return "";
}

Elements without(const Elements& elements, const Elements& others) {
  Elements rest;
  std::ranges::copy_if(elements, std::back_inserter(rest), [&others](const auto& element) {
    return std::ranges::find(others, element) == others.end();
  });
  return rest;
}

// The stale ones go first: the new ones may overlap them.
void append_element_edits(const std::string& set, const Elements& observed, const Elements& wanted,
                          std::vector<Edit>& edits) {
  if (observed == wanted) return;
  auto stale = without(observed, wanted);
  auto missing = without(wanted, observed);
  if (!stale.empty()) edits.emplace_back(DeleteElements{set, std::move(stale)});
  if (!missing.empty()) edits.emplace_back(AddElements{set, std::move(missing)});
}

void append_rule_edits(const std::string& chain, const std::vector<ObservedRule>& observed,
                       const std::vector<Rule>& wanted, std::vector<Edit>& edits) {
  const auto same = [&](std::size_t row, std::size_t column) { return observed[row].rule == wanted[column]; };
  const auto steps = edit_script(observed.size(), wanted.size(), same);
  std::size_t row = 0;
  std::size_t column = 0;
  for (auto step = steps.begin(); step != steps.end(); ++step) {
    if (*step == Step::remove)
      edits.emplace_back(DeleteRule{chain, observed[row].handle, observed[row].rule});
    if (*step == Step::insert) {
      const auto kept = std::find(step, steps.end(), Step::keep);
      const auto skipped = static_cast<std::size_t>(std::count(step, kept, Step::remove));
      const auto before = kept == steps.end() ? std::nullopt : std::optional(observed[row + skipped].handle);
      edits.emplace_back(InsertRule{chain, before, wanted[column]});
    }
    if (*step != Step::insert) ++row;
    if (*step != Step::remove) ++column;
  }
}

const std::vector<ObservedRule>& observed_rules(const ObservedTable& table, const std::string& chain) {
  static const std::vector<ObservedRule> none;
  const auto found = table.chains.find(chain);
  return found == table.chains.end() ? none : found->second.rules;
}

const Elements& observed_elements(const ObservedTable& table, const std::string& set) {
  static const Elements none;
  const auto found = table.sets.find(set);
  return found == table.sets.end() ? none : found->second.set.elements;
}

void append_edits(const ObservedTable& observed, const Table& wanted, std::vector<Edit>& edits) {
  if (!observed.exists) edits.emplace_back(AddTable{});
  for (const auto& [name, set] : wanted.sets) {
    if (!observed.sets.contains(name)) edits.emplace_back(AddSet{name, set.family, set.is_map});
  }
  for (const auto& [name, chain] : wanted.chains) {
    if (!observed.chains.contains(name)) edits.emplace_back(AddChain{name, chain.is_base});
  }
  for (const auto& [name, set] : wanted.sets) {
    append_element_edits(name, observed_elements(observed, name), set.elements, edits);
  }
  for (const auto& [name, chain] : wanted.chains) {
    append_rule_edits(name, observed_rules(observed, name), chain.rules, edits);
  }
  // What is not wanted goes when nothing leads there any more; its own rules may lead to one another.
  for (const auto& [name, chain] : observed.chains) {
    if (!wanted.chains.contains(name)) append_rule_edits(name, chain.rules, {}, edits);
  }
  for (const auto& [name, set] : observed.sets) {
    if (!wanted.sets.contains(name)) edits.emplace_back(DeleteSet{name});
  }
  for (const auto& [name, chain] : observed.chains) {
    if (!wanted.chains.contains(name)) edits.emplace_back(DeleteChain{name});
  }
}

// One line for each thing that an edit adds or takes away.
class Lines {
 public:
  void operator()(const AddTable& /*edit*/) { missing_.push_back("table inet " + std::string(table_name)); }
  void operator()(const DeleteTable& edit) {
    const auto table = "table inet " + std::string(table_name);
    edit.why.empty() ? unwanted_.push_back(table) : damaged_.push_back("damaged: " + table + ": " + edit.why);
  }
  void operator()(const AddChain& edit) { missing_.push_back("chain " + edit.chain); }
  void operator()(const DeleteChain& edit) { unwanted_.push_back("chain " + edit.chain); }
  void operator()(const AddSet& edit) { missing_.push_back("set " + edit.set); }
  void operator()(const DeleteSet& edit) { unwanted_.push_back("set " + edit.set); }
  void operator()(const AddElements& edit) { append(edit.set, edit.elements, missing_); }
  void operator()(const DeleteElements& edit) { append(edit.set, edit.elements, unwanted_); }
  void operator()(const InsertRule& edit) { missing_.push_back(text(edit.chain, edit.rule)); }
  void operator()(const DeleteRule& edit) { unwanted_.push_back(text(edit.chain, edit.rule)); }

  std::vector<std::string> all() const {
    if (!damaged_.empty()) return damaged_;  // all of the table is made anew
    return difference_lines(missing_, unwanted_);
  }

 private:
  static std::string text(const std::string& chain, const Rule& rule) {
    return "chain " + chain + ": " + to_text(rule);
  }
  static void append(const std::string& set, const Elements& elements, std::vector<std::string>& lines) {
    for (const auto& element : elements) lines.push_back("set " + set + ": " + to_text(element));
  }

  std::vector<std::string> damaged_;
  std::vector<std::string> missing_;
  std::vector<std::string> unwanted_;
};

}  // namespace

std::vector<Edit> difference(const ObservedTable& observed, const Ruleset& wanted) {
  const auto unknown = unknown_entrances(observed, wanted);
  auto table = wanted_table(wanted, unknown);
  keep(unknown, observed, table);

  std::vector<Edit> edits;
  if (table.chains.empty()) {
    if (observed.exists) edits.emplace_back(DeleteTable{});
    return edits;
  }
  const auto trouble = trouble_of(observed, table);
  if (!trouble.empty()) edits.emplace_back(DeleteTable{trouble});
  append_edits(trouble.empty() ? observed : ObservedTable{}, table, edits);
  return edits;
}

std::vector<std::string> to_text(const std::vector<Edit>& edits) {
  Lines lines;
  for (const auto& edit : edits) std::visit(lines, edit);
  return lines.all();
}

}  // namespace ipmasq::nat::nftables
