// The rules of all networks of a node, over the back ends that carry them, and on their way from one to the
// other.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "netfilter/kernel.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Of a node whose networks are on iptables although nftables is preferred there.
inline constexpr auto undone_by_nftables =
    "backend is \"iptables\", but nftables has a nat chain on postrouting here: a masquerade rule there "
    "undoes "
    "exemptions; set \"backend\": \"auto\"";

struct Settled {
  Wanted wanted;
  std::vector<std::string> changes;  ///< of the kernel, a line each
};

class NodeRules {
 public:
  /// `lock_timeout`: how long to wait for locks that others may hold.
  NodeRules(netfilter::Kernel& kernel, const state::Store& store, std::chrono::nanoseconds lock_timeout)
      : kernel_(kernel), store_(store), lock_timeout_(lock_timeout) {}

  /// The back end that `choice` means now, beside what is recorded: once a network was given nftables by
  /// "auto", it is nftables until the last of its attachments is gone. Throws Error.
  netfilter::Backend chosen(config::BackendChoice choice, const Recorded& recorded) const;

  /// Names in the records the back end that each network is to be on; where it was on another one, that is
  /// the one that it leaves. Throws Error.
  void choose_backends(Recorded& recorded) const;

  /// What differs in the kernel, a line each. Changes nothing.
  std::vector<std::string> differences(const Wanted& wanted) const;

  /// Brings the kernel to what is wanted, from what was recorded `before`; what that changed. New rules come
  /// first, then those of the back end that they leave go.
  std::vector<std::string> apply(const Wanted& wanted, const Recorded& before) const;

  /// The same with choose_backends() before, and with all records kept as they are meanwhile: a call that is
  /// killed leaves word of what it was about. `between`: called with what is wanted, when the records are
  /// saved and no rule has changed yet.
  template <typename Between>
  Settled settle(Recorded& recorded, const Recorded& before, Between between) const {
    choose_backends(recorded);
    save_changed(recorded, before);
    Settled settled{wanted_of(recorded), {}};
    between(std::as_const(settled.wanted));
    settled.changes = apply(settled.wanted, before);
    save_arrived(recorded);
    return settled;
  }

  /// Every rule of ours, in all back ends.
  std::vector<netfilter::CountedRule> rules(const Wanted& wanted) const;

 private:
  /// Back ends that have rules of the recorded networks, or may have; those that a network leaves come last.
  std::vector<netfilter::Backend> concerned(const Wanted& wanted) const;
  void save_changed(const Recorded& recorded, const Recorded& before) const;
  void save_arrived(Recorded& recorded) const;

  netfilter::Kernel& kernel_;
  const state::Store& store_;
  std::chrono::nanoseconds lock_timeout_;
};

}  // namespace ipmasq::plugin
