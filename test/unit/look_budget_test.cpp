#include "plugin/agent/look_budget.hpp"

#include <doctest/doctest.h>

#include <array>

namespace ipmasq::plugin {

namespace {

using namespace std::chrono_literals;

// Of a core, by all that is done while nothing happens.
double share(LookBudget::Time pass, LookBudget::Time interval, LookBudget::Time question,
             LookBudget::Time look) {
  LookBudget budget;
  budget.pass_took(pass, interval);
  budget.question_took(question);
  budget.look_took(look);
  const std::chrono::duration<double> rest = budget.rest();
  return look / rest + std::chrono::duration<double>(pass) / interval +
         std::chrono::duration<double>(question) / 1s;
}

}  // namespace

TEST_CASE("looks, passes and questions together cost 0.5% of a core at most") {
  constexpr std::array<LookBudget::Time, 4> looks{300us, 5ms, 25ms, 60ms};
  for (const auto look : looks) {
    for (const auto pass : {1ms, 30ms, 250ms}) CHECK(share(pass, 60s, 60us, look) <= 0.00501);
  }
  CHECK(share(250ms, 60s, 60us, 10ms) >= 0.0049);
}

TEST_CASE(
    "nothing is looked at more often than each second, and less often than a pass where that costs all") {
  LookBudget budget;
  CHECK(budget.rest() == 1s);
  budget.look_took(5ms);
  CHECK(budget.rest() == 1s);
  budget.look_took(10ms);
  CHECK(budget.rest() == 2s);
  budget.pass_took(300ms, 60s);
  CHECK(budget.rest() > 60s);
  budget.pass_took(1ms, 60s);
  CHECK(budget.rest() < 3s);
}

}  // namespace ipmasq::plugin
