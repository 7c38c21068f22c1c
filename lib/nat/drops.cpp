#include "nat/drops.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "nat/walk.hpp"

namespace ipmasq::nat {

namespace {

// A connection that is in a zone for its answers alone stands in zone 0 as well: answers that are not found
// again make a new one there, which clashes with it (__nf_conntrack_confirm).
bool is_zoned_for_answers(const Walk& sent) {
  return sent.zoned() && sent.zoned()->rule->zone->of == Zone::Of::answers;
}

// What the world has another address for is found again by its tracking alone: where the answers are not
// tracked, or in another zone, nobody gets them.
void add_lost_answers(const Foreign& foreign, const Flow& flow, const Walk& sent, std::vector<Drop>& drops) {
  if (flow.state != connection_state::fresh || sent.untracked()) return;
  const bool is_translated = !flow.translated.empty();
  if (!is_translated && !is_zoned_for_answers(sent)) return;
  const OurPlace nowhere;
  const auto answer = answer_to(flow);
  Walk walk(foreign, nowhere, answer);
  walk.run();
  const auto add = [&drops](const Walk::Tracking& by, bool is_certain) {
    drops.push_back({by.base, *by.rule, is_certain});
  };
  if (is_translated) {
    for (const auto& each : walk.may_be_untracked()) add(each, false);
  }
  if (const auto& untracked = walk.untracked()) {
    if (is_translated) add(*untracked, true);
    return;
  }
  const bool are_known = sent.zone() && walk.zone();
  if (are_known && *sent.zone() == *walk.zone()) return;
  const auto& by = sent.zone() == std::uint16_t{0} ? walk.zoned() : sent.zoned();
  if (by) add(*by, are_known);
}

// Without what follows the first packet nothing comes of a connection of TCP. Where that one is sent
// elsewhere, the others are as well, which is not followed.
void add_later(const Foreign& foreign, const Flow& flow, const Walk& sent, std::vector<Drop>& drops) {
  if (flow.state != connection_state::fresh || flow.protocol != std::uint32_t{IPPROTO_TCP} ||
      sent.is_redirected())
    return;
  const OurPlace nowhere;
  const auto later = later_in(flow);
  Walk walk(foreign, nowhere, later);
  walk.run();
  for (const auto& drop : walk.drops()) {
    const auto is_same = [&drop](const Drop& each) {
      return each.base == drop.base && each.rule == drop.rule;
    };
    const auto known = std::ranges::find_if(drops, is_same);
    if (known == drops.end()) {
      drops.push_back(drop);
    } else {
      known->is_certain = known->is_certain || drop.is_certain;
    }
  }
}

}  // namespace

std::vector<Drop> drops(const Foreign& foreign, const Flow& flow) {
  const OurPlace nowhere;
  Walk walk(foreign, nowhere, flow);
  walk.run();
  auto found = walk.drops();
  add_later(foreign, flow, walk, found);
  add_lost_answers(foreign, flow, walk, found);
  return found;
}

}  // namespace ipmasq::nat
