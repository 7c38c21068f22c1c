#include "nat/nftables_difference.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "nat/difference_lines.hpp"
#include "nat/edit_script.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Elements = std::vector<Interval<std::string>>;

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
    if (there.set.family != set.family || there.set.kind != set.kind)
      return "set " + name + " is of another type";
  }
  return "";
}

Elements without(const Elements& elements, const Elements& others) {
  Elements rest;
  std::ranges::set_difference(elements, others, std::back_inserter(rest));
  return rest;
}

// The stale ones go first: the new ones may overlap them.
void append_element_edits(const std::string& name, Elements observed, const Set& wanted,
                          std::vector<Edit>& edits) {
  if (observed == wanted.elements) return;
  std::ranges::sort(observed);
  auto stale = without(observed, wanted.elements);
  auto missing = without(wanted.elements, observed);
  if (!stale.empty()) edits.emplace_back(DeleteElements{name, wanted.kind, std::move(stale)});
  if (!missing.empty()) edits.emplace_back(AddElements{name, wanted.kind, std::move(missing)});
}

std::vector<std::string> texts_of(const std::vector<Rule>& rules) {
  std::vector<std::string> texts;
  texts.reserve(rules.size());
  for (const auto& rule : rules) texts.push_back(to_text(rule));
  return texts;
}

void append_rule_edits(const std::string& chain, const ObservedChain& observed,
                       const std::vector<Rule>& wanted, std::vector<Edit>& edits) {
  if (std::ranges::equal(observed.rules, wanted, {}, &ObservedRule::rule)) return;
  const auto steps = edit_script(texts_of(rules_of(observed)), texts_of(wanted));
  // Handles of the rules that stay, the next one last.
  std::vector<std::uint64_t> staying;
  std::size_t row = observed.rules.size();
  for (auto index = steps.size(); index-- > 0;) {
    if (steps[index] != Step::insert) --row;
    if (steps[index] == Step::keep) staying.push_back(observed.rules[row].handle);
  }
  std::size_t column = 0;
  for (const auto step : steps) {
    switch (step) {
      case Step::keep:
        staying.pop_back();
        ++row;
        ++column;
        break;
      case Step::remove:
        edits.emplace_back(DeleteRule{chain, observed.rules[row].handle, observed.rules[row].rule});
        ++row;
        break;
      case Step::insert: {
        const auto& rule = wanted[column++];
        const auto before = staying.empty() ? std::nullopt : std::optional(staying.back());
        if (rule.other.empty()) edits.emplace_back(InsertRule{chain, before, rule});
      }
    }
  }
}

const ObservedChain& observed_chain(const ObservedTable& table, const std::string& chain) {
  static const ObservedChain none;
  const auto found = table.chains.find(chain);
  return found == table.chains.end() ? none : found->second;
}

const Elements& observed_elements(const ObservedTable& table, const std::string& set) {
  static const Elements none;
  const auto found = table.sets.find(set);
  return found == table.sets.end() ? none : found->second.set.elements;
}

void append_edits(const ObservedTable& observed, const Table& wanted, std::vector<Edit>& edits) {
  if (!observed.exists) edits.emplace_back(AddTable{});
  for (const auto& [name, set] : wanted.sets) {
    if (!observed.sets.contains(name)) edits.emplace_back(AddSet{name, set.family, set.kind});
  }
  for (const auto& [name, chain] : wanted.chains) {
    if (!observed.chains.contains(name)) edits.emplace_back(AddChain{name, chain.is_base});
  }
  for (const auto& [name, set] : wanted.sets) {
    append_element_edits(name, observed_elements(observed, name), set, edits);
  }
  for (const auto& [name, chain] : wanted.chains) {
    append_rule_edits(name, observed_chain(observed, name), chain.rules, edits);
  }
  // What is not wanted goes when nothing leads there any more; its own rules may lead to one another.
  for (const auto& [name, chain] : observed.chains) {
    if (!wanted.chains.contains(name)) append_rule_edits(name, chain, {}, edits);
  }
  for (const auto& [name, set] : observed.sets) {
    if (!wanted.sets.contains(name)) edits.emplace_back(DeleteSet{name});
  }
  for (const auto& [name, chain] : observed.chains) {
    if (!wanted.chains.contains(name)) edits.emplace_back(DeleteChain{name});
  }
}

struct Subject {
  std::string operator()(const AddTable& /*edit*/) const { return "table inet " + std::string(table_name); }
  std::string operator()(const DeleteTable& /*edit*/) const { return (*this)(AddTable{}); }
  std::string operator()(const AddChain& edit) const { return "chain " + edit.chain; }
  std::string operator()(const DeleteChain& edit) const { return "chain " + edit.chain; }
  std::string operator()(const AddSet& edit) const { return "set " + edit.set; }
  std::string operator()(const DeleteSet& edit) const { return "set " + edit.set; }
  std::string operator()(const AddElements& edit) const { return "elements of set " + edit.set; }
  std::string operator()(const DeleteElements& edit) const { return "elements of set " + edit.set; }
  std::string operator()(const InsertRule& edit) const { return rule(edit.chain, edit.rule); }
  std::string operator()(const DeleteRule& edit) const { return rule(edit.chain, edit.rule); }

 private:
  static std::string rule(const std::string& chain, const Rule& rule) {
    return "chain " + chain + ": " + to_text(rule);
  }
};

// One line for each thing that an edit adds or takes away.
class Lines {
 public:
  void operator()(const AddTable& edit) { missing_.push_back(subject_of(edit)); }
  void operator()(const DeleteTable& edit) {
    edit.why.empty() ? unwanted_.push_back(subject_of(edit))
                     : damaged_.push_back("damaged: " + subject_of(edit) + ": " + edit.why);
  }
  void operator()(const AddChain& edit) { missing_.push_back(subject_of(edit)); }
  void operator()(const DeleteChain& edit) { unwanted_.push_back(subject_of(edit)); }
  void operator()(const AddSet& edit) { missing_.push_back(subject_of(edit)); }
  void operator()(const DeleteSet& edit) { unwanted_.push_back(subject_of(edit)); }
  void operator()(const AddElements& edit) { append(edit, missing_); }
  void operator()(const DeleteElements& edit) { append(edit, unwanted_); }
  void operator()(const InsertRule& edit) { missing_.push_back(subject_of(edit)); }
  void operator()(const DeleteRule& edit) { unwanted_.push_back(subject_of(edit)); }

  std::vector<std::string> all() && {
    if (!damaged_.empty()) return damaged_;  // all of the table is made anew
    return difference_lines(std::move(missing_), std::move(unwanted_));
  }

 private:
  template <typename ElementEdit>
  static void append(const ElementEdit& edit, std::vector<std::string>& lines) {
    for (const auto& element : edit.elements)
      lines.push_back("set " + edit.set + ": " + to_text(element, edit.kind));
  }

  std::vector<std::string> damaged_;
  std::vector<std::string> missing_;
  std::vector<std::string> unwanted_;
};

}  // namespace

std::vector<Edit> difference(const ObservedTable& observed, const Table& target) {
  std::vector<Edit> edits;
  if (target.chains.empty()) {
    if (observed.exists) edits.emplace_back(DeleteTable{});
    return edits;
  }
  const auto trouble = trouble_of(observed, target);
  if (!trouble.empty()) edits.emplace_back(DeleteTable{trouble});
  append_edits(trouble.empty() ? observed : ObservedTable{}, target, edits);
  return edits;
}

std::vector<std::string> to_text(const std::vector<Edit>& edits) {
  Lines lines;
  for (const auto& edit : edits) std::visit(lines, edit);
  return std::move(lines).all();
}

std::string subject_of(const Edit& edit) {
  return std::visit(Subject{}, edit);
}

}  // namespace ipmasq::nat::nftables
