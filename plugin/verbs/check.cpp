#include "cni/result.hpp"
#include "error/error.hpp"
#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/verbs.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

[[noreturn]] void fail(const std::string& message) {
  throw Error(Kind::not_right, message, "ip-masq sync, or the next ADD, mends it");
}

std::string text_of(const std::vector<net::InterfaceAddress>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : ", ") + net::to_text(address);
  return text;
}

void check_record(const Recorded& recorded, const cni::Request& request) {
  const cni::AttachmentId id{request.environment.container_id, request.environment.interface};
  const auto who = "the attachment of " + id.container_id + " (" + id.interface + ") to " + request.network;
  const auto network = recorded.find(request.network);
  const auto* const attachment = network == recorded.end() ? nullptr : network->second.find(id);
  if (attachment == nullptr) {
    throw Error(Kind::not_right, who + " is not recorded", "an ADD of the same container records it");
  }
  const auto addresses = cni::addresses(cni::prev_result(request.netconf));
  if (addresses != attachment->addresses) {
    throw Error(Kind::not_right,
                who + " is recorded with " + text_of(attachment->addresses) + ", prevResult has " +
                    text_of(addresses),
                "an ADD of the same container records it anew");
  }
}

}  // namespace

void check(const cni::Request& request, netfilter::Kernel& kernel) {
  const auto netconf = config::effective_netconf(request.netconf);
  static_cast<void>(cni::addresses(cni::prev_result(request.netconf)));

  const state::Store store(netconf.state_dir);
  if (!store.exists()) {
    throw Error(Kind::not_right, "nothing is recorded: there is no " + netconf.state_dir.string(),
                "an ADD of the same container records it");
  }
  const auto lock = store.lock_shared(netconf.lock_timeout);
  const auto recorded = store.load();
  check_record(recorded, request);
  const auto wanted = wanted_of(recorded);
  for (const auto& [name, problem] : wanted.problems()) fail("network " + name + ": " + problem);
  const auto differences = NodeRules(kernel, store, netconf.lock_timeout).differences(wanted);
  if (differences.empty()) return;
  const auto more = differences.size() - 1;
  fail("the rules are not as they should be: " + differences.front() +
       (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
}

}  // namespace ipmasq::plugin
