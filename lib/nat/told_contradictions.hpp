// What a walk through others' chains has to tell.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nat/contradictions.hpp"
#include "nat/explain.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

/// Of each rule and kind one, certain where any of them is.
class ToldContradictions {
 public:
  void add(Contradiction::Kind kind, bool is_certain, const ForeignRule& rule, const std::string& does,
           std::optional<Fate> becomes);
  /// In the order in which they came. For once.
  std::vector<Contradiction> all() { return std::move(all_); }

 private:
  std::map<std::pair<Contradiction::Kind, const ForeignRule*>, std::size_t> places_;
  std::vector<Contradiction> all_;
};

}  // namespace ipmasq::nat
