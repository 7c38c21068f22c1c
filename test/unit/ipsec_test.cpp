#include "routing/ipsec.hpp"

#include <doctest/doctest.h>
#include <linux/xfrm.h>
#include <netinet/in.h>

#include <string>
#include <vector>

#include "texts.hpp"

namespace ipmasq::routing {

namespace {

constexpr const char* pods = "10.244.1.0/24";
constexpr const char* world = "0.0.0.0/0";

IpsecPolicy policy(const char* from, const char* to, const char* text, IpsecHook hook = IpsecHook::out) {
  return {.hook = hook, .source = test::prefix(from), .destination = test::prefix(to), .text = text};
}

IpsecPolicy blocking(const char* from, const char* to, IpsecHook hook = IpsecHook::out) {
  auto made = policy(from, to, "block", hook);
  made.blocks = true;
  return made;
}

IpsecTemplate tunnel() {
  return {.source = test::address("192.0.2.1"),
          .destination = test::address("192.0.2.2"),
          .protocol = IPPROTO_ESP,
          .mode = XFRM_MODE_TUNNEL,
          .request = 7};
}

IpsecState state_of(const IpsecTemplate& asked) {
  return {asked.source, asked.destination, asked.protocol, asked.mode, asked.request, 0x100};
}

IpsecPolicy tunnelling(const char* from, const char* to, IpsecHook hook = IpsecHook::out) {
  auto made = policy(from, to, "tunnel", hook);
  made.templates = {tunnel()};
  return made;
}

std::string name_of(IpsecFate fate) {
  switch (fate) {
    case IpsecFate::blocked:
      return "blocked";
    case IpsecFate::in_the_clear:
      return "in the clear";
    case IpsecFate::no_state:
      return "no state";
    case IpsecFate::negotiated:
      return "negotiated";
    case IpsecFate::transformed:
      return "transformed";
  }
  return "";
}

// "POLICY FATE SOURCE -> DESTINATION", of each.
std::vector<std::string> told(const Ipsec& ipsec, const char* from, const char* to,
                              IpsecHook hook = IpsecHook::out, bool came_in_clear = true) {
  std::vector<std::string> lines;
  for (const auto& each : verdicts(ipsec, hook, test::prefix(from), test::prefix(to), came_in_clear)) {
    lines.push_back(std::string(each.is_certain ? "" : "maybe ") + each.policy->text + ": " +
                    name_of(each.fate) + " " + net::to_text(each.source) + " -> " +
                    net::to_text(each.destination));
  }
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("IPsec: a policy takes what both have of sources and destinations, at its own hook") {
  const Ipsec ipsec{.policies = {blocking("10.244.0.0/16", "10.9.0.0/16")}};
  CHECK(told(ipsec, pods, world) == Lines{"block: blocked 10.244.1.0/24 -> 10.9.0.0/16"});
  CHECK(told(ipsec, "10.244.1.5/32", "10.9.9.9/32") == Lines{"block: blocked 10.244.1.5/32 -> 10.9.9.9/32"});
  CHECK(told(ipsec, pods, "10.8.0.0/16").empty());
  CHECK(told(ipsec, "10.245.0.0/24", world).empty());
  CHECK(told(ipsec, pods, world, IpsecHook::forward).empty());
}

TEST_CASE("IPsec: the first policy that holds decides, unless it asks for more than addresses") {
  auto spared = policy("10.244.0.0/16", world, "spared");
  CHECK(told({.policies = {spared, blocking(pods, world)}}, pods, world).empty());
  CHECK(told({.policies = {blocking(pods, world), spared}}, pods, world).size() == 1);
  spared.asks_for_kind = true;
  CHECK(told({.policies = {spared, blocking(pods, world)}}, pods, world).size() == 1);
  auto some = blocking(pods, world);
  some.asks_for_kind = true;
  CHECK(told({.policies = {some}}, pods, world) == Lines{"maybe block: blocked 10.244.1.0/24 -> 0.0.0.0/0"});
  const auto part = policy(pods, "10.9.0.0/16", "part");
  CHECK(told({.policies = {part, blocking(pods, world)}}, pods, world) ==
        Lines{"block: blocked 10.244.1.0/24 -> 0.0.0.0/0"});
  CHECK(told({.policies = {part, blocking(pods, world)}}, pods, "10.9.9.9/32").empty());
}

TEST_CASE("IPsec: the list that is asked first keeps nothing from being asked in the main one") {
  auto first = policy("10.244.0.0/16", world, "sub");
  first.is_sub = true;
  CHECK(told({.policies = {first, blocking(pods, world)}}, pods, world).size() == 1);
}

TEST_CASE("IPsec: what is to leave by a tunnel needs a state of that very kind") {
  Ipsec ipsec{.policies = {tunnelling(pods, world)}};
  CHECK(told(ipsec, pods, world) == Lines{"tunnel: no state 10.244.1.0/24 -> 0.0.0.0/0"});
  ipsec.is_negotiated = true;
  CHECK(told(ipsec, pods, world) == Lines{"tunnel: negotiated 10.244.1.0/24 -> 0.0.0.0/0"});
  auto state = state_of(tunnel());
  ipsec.states = {state};
  CHECK(told(ipsec, pods, world) == Lines{"tunnel: transformed 10.244.1.0/24 -> 0.0.0.0/0"});
  ipsec.is_negotiated = false;
  state.request = 8;
  ipsec.states = {state};
  CHECK(told(ipsec, pods, world) == Lines{"tunnel: no state 10.244.1.0/24 -> 0.0.0.0/0"});
  state = state_of(tunnel());
  state.destination = test::address("192.0.2.3");
  ipsec.states = {state};
  CHECK(told(ipsec, pods, world).front().starts_with("tunnel: no state"));
  ipsec.policies.front().templates.front().destination = {net::Family::ipv4, {}};
  CHECK(told(ipsec, pods, world).front().starts_with("tunnel: transformed"));
}

TEST_CASE("IPsec: what need not be transformed passes where there is no state") {
  Ipsec ipsec{.policies = {tunnelling(pods, world)}};
  ipsec.policies.front().templates.front().is_optional = true;
  CHECK(told(ipsec, pods, world).empty());
  ipsec.policies.front().hook = IpsecHook::forward;
  CHECK(told(ipsec, pods, world, IpsecHook::forward).empty());
}

TEST_CASE("IPsec: what comes in is to have come by the tunnel, which pods do not") {
  Ipsec ipsec{.policies = {tunnelling(world, world, IpsecHook::forward)}};
  ipsec.states = {state_of(tunnel())};
  CHECK(told(ipsec, pods, world, IpsecHook::forward) ==
        Lines{"tunnel: in the clear 10.244.1.0/24 -> 0.0.0.0/0"});
  CHECK(told(ipsec, world, pods, IpsecHook::forward, false).empty());
  ipsec.states.clear();
  CHECK(told(ipsec, world, pods, IpsecHook::forward, false) ==
        Lines{"tunnel: no state 0.0.0.0/0 -> 10.244.1.0/24"});
}

}  // namespace ipmasq::routing
