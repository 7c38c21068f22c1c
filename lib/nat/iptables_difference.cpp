#include "nat/iptables_difference.hpp"

#include <algorithm>
#include <compare>
#include <utility>

#include "nat/difference_lines.hpp"
#include "nat/edit_script.hpp"

namespace ipmasq::nat::iptables {

namespace {

struct Element {
  const Rule* rule;

  std::strong_ordering operator<=>(const Element& other) const { return *rule <=> *other.rule; }
};

std::size_t common_start(const std::vector<ObservedRule>& observed, const std::vector<Rule>& wanted) {
  const auto [left, right] = std::ranges::mismatch(observed, wanted, {}, &ObservedRule::rule);
  return static_cast<std::size_t>(right - wanted.begin());
}

// Most calls change a rule or two of a long chain: what both ends have in common is compared once.
class Middle {
 public:
  Middle(const std::vector<ObservedRule>& observed, const std::vector<Rule>& wanted)
      : start_(common_start(observed, wanted)) {
    auto observed_end = observed.size();
    auto wanted_end = wanted.size();
    while (observed_end > start_ && wanted_end > start_ &&
           observed[observed_end - 1].rule == wanted[wanted_end - 1]) {
      --observed_end;
      --wanted_end;
    }
    for (auto row = start_; row < observed_end; ++row) observed_.push_back({&observed[row].rule});
    for (auto column = start_; column < wanted_end; ++column) wanted_.push_back({&wanted[column]});
  }

  void append_edits(std::string_view chain, std::vector<Edit>& edits) const {
    const auto steps = edit_script(observed_, wanted_);
    const auto changes = steps.size() - static_cast<std::size_t>(std::ranges::count(steps, Step::keep));
    if (changes > edits.capacity())
      edits.reserve(edits.size() + changes);  // of a long list, no more than that
    std::size_t row = 0;
    std::size_t column = 0;
    for (const auto step : steps) {
      if (step == Step::remove)
        edits.push_back({EditKind::delete_rule, chain, start_ + column, observed_[row].rule});
      if (step == Step::insert)
        edits.push_back({EditKind::insert_rule, chain, start_ + column, wanted_[column].rule});
      if (step != Step::insert) ++row;
      if (step != Step::remove) ++column;
    }
  }

 private:
  std::size_t start_;
  std::vector<Element> observed_;
  std::vector<Element> wanted_;
};

void append_hook_edits(const ObservedTable& observed, std::optional<std::size_t> wanted,
                       std::vector<Edit>& edits) {
  static const Rule hook = hook_rule();
  bool found = false;
  // Those behind go first, so that the index of those before stays what it was.
  for (auto left = observed.hooks.size(); left-- > 0;) {
    const auto index = observed.hooks[left].index;
    if (index == wanted) {
      found = true;
    } else {
      edits.push_back({EditKind::delete_rule, hook_chain, index, &hook});
    }
  }
  if (!wanted || found) return;
  const auto others = observed.hook_chain_size - observed.hooks.size();
  edits.push_back({EditKind::insert_rule, hook_chain, std::min(*wanted, others), &hook});
}

}  // namespace

std::vector<Edit> difference(const ObservedTable& observed, const State& wanted) {
  static const std::vector<ObservedRule> nothing_observed;
  static const std::vector<Rule> nothing_wanted;
  std::vector<Edit> edits;
  for (const auto& [name, rules] : wanted.chains) {
    if (!observed.chains.contains(name)) edits.push_back({EditKind::create_chain, name});
  }
  append_hook_edits(observed, wanted.hook_at, edits);
  for (const auto& [name, rules] : wanted.chains) {
    const auto found = observed.chains.find(name);
    Middle(found == observed.chains.end() ? nothing_observed : found->second, rules)
        .append_edits(name, edits);
  }
  for (const auto& [name, rules] : observed.chains) {
    if (!wanted.chains.contains(name)) Middle(rules, nothing_wanted).append_edits(name, edits);
  }
  for (const auto& [name, rules] : observed.chains) {
    if (!wanted.chains.contains(name) && !observed.entered_by_others.contains(name))
      edits.push_back({EditKind::delete_chain, name});
  }
  return edits;
}

std::vector<std::string> to_text(const std::vector<Edit>& edits) {
  std::vector<std::string> missing;
  std::vector<std::string> unwanted;
  for (const auto& [kind, chain, index, rule] : edits) {
    const bool is_of_chain = kind == EditKind::create_chain || kind == EditKind::delete_chain;
    const bool is_missing = kind == EditKind::create_chain || kind == EditKind::insert_rule;
    auto text = is_of_chain ? "-N " + std::string(chain) : to_text(std::string(chain), *rule);
    (is_missing ? missing : unwanted).push_back(std::move(text));
  }
  return difference_lines(std::move(missing), std::move(unwanted));
}

}  // namespace ipmasq::nat::iptables
