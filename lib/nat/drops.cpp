#include "nat/drops.hpp"

#include "nat/walk.hpp"

namespace ipmasq::nat {

namespace {

// What the world has another address for is found again by its tracking alone: where the answers are not
// tracked, or in another zone, nobody gets them.
void add_lost_answers(const Foreign& foreign, const Flow& flow, const Walk& sent, std::vector<Drop>& drops) {
  if (flow.translated.empty() || flow.state != connection_state::fresh || sent.untracked()) return;
  const OurPlace nowhere;
  const auto answer = answer_to(flow);
  Walk walk(foreign, nowhere, answer);
  walk.run();
  const auto add = [&drops](const Walk::Tracking& by) { drops.push_back({by.base, *by.rule, true}); };
  if (const auto& untracked = walk.untracked()) return add(*untracked);
  const auto& by = sent.zoned() ? sent.zoned() : walk.zoned();
  const bool are_apart = sent.zone() && walk.zone() && *sent.zone() != *walk.zone();
  if (by && are_apart) add(*by);
}

}  // namespace

std::vector<Drop> drops(const Foreign& foreign, const Flow& flow) {
  const OurPlace nowhere;
  Walk walk(foreign, nowhere, flow);
  walk.run();
  auto found = walk.drops();
  add_lost_answers(foreign, flow, walk, found);
  return found;
}

}  // namespace ipmasq::nat
