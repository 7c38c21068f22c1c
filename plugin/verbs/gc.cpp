#include <algorithm>
#include <functional>

#include "error/error.hpp"
#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/verbs.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

// Does one thing after the other, and tells of all that failed at the end.
class Attempts {
 public:
  bool run(const std::function<void()>& attempt) {
    try {
      attempt();
      return true;
    } catch (const Error& error) {
      if (messages_.empty()) kind_ = error.kind();
      messages_ += (messages_.empty() ? "" : "; ") + std::string(error.what());
      return false;
    }
  }

  void throw_failures() const {
    if (!messages_.empty()) throw Error(kind_, messages_);
  }

 private:
  Kind kind_{};
  std::string messages_;
};

std::vector<cni::AttachmentId> ids_in(const state::Network& network) {
  std::vector<cni::AttachmentId> ids;
  for (const auto& attachment : network.attachments) ids.push_back(attachment.id);
  for (const auto& broken : network.broken) ids.push_back(broken.id);
  return ids;
}

}  // namespace

void gc(const cni::Request& request, netfilter::Kernel& kernel) {
  const auto netconf = config::parse_netconf(request.netconf);
  const auto valid = cni::valid_attachments(request.netconf);
  const state::Store store(netconf.state_dir);
  const auto lock = store.lock_exclusive(netconf.lock_timeout);

  const auto before = store.load();
  auto recorded = before;
  auto& network = recorded[request.network];
  network.name = request.network;
  std::vector<cni::AttachmentId> stale = ids_in(network);
  std::erase_if(stale, [&valid](const auto& id) { return std::ranges::find(valid, id) != valid.end(); });
  for (const auto& id : stale) network.remove(id);

  network.lacks_attachments =
      std::ranges::any_of(valid, [&](const auto& id) { return network.find(id) == nullptr; });

  Attempts attempts;
  const bool rules_are_right = attempts.run(
      [&] { NodeRules(kernel, store, netconf.lock_timeout).settle(recorded, before, [](const auto&) {}); });
  for (const auto& id : stale) {
    attempts.run([&] { store.forget(request.network, id); });
  }
  // The folder of a network without attachments stays where rules could not be removed: the next call tries
  // again.
  if (network.is_empty() && rules_are_right) {
    attempts.run([&] { store.forget_network(request.network); });
  }
  attempts.throw_failures();
}

}  // namespace ipmasq::plugin
