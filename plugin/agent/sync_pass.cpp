#include "plugin/agent/sync_pass.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "config/in_force.hpp"
#include "error/error.hpp"
#include "error/first_lines.hpp"
#include "plugin/verbs/adoption.hpp"
#include "plugin/verbs/changed_flows.hpp"
#include "plugin/verbs/recorded.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

class Pass {
 public:
  explicit Pass(const Node& node) : node_(node), recorded_(read_recorded(node.store)) {}

  SyncPass run() {
    forget_ended();
    for (auto& [name, network] : recorded_) keep_what_nobody_tells(name, network.stored);
    attempt([this] { leave_standing(recorded_, unrecorded_sources(node_, recorded_)); });
    for (auto& each : recorded_) attempt([&each] { leave_lans(each.second); });
    for (const auto& [name, network] : recorded_) describe(name, network);
    if (!failed_.empty() || !is_all_right()) {
      for (const auto& [name, network] : recorded_) settle(name, network);
      settle_together();
    }
    for (const auto backend : config::all_backends) {
      if (is_used(backend)) pass_.wanted[backend] = ruleset_of(recorded_, backend);
    }
    attempt([this] { pass_.left_alone = unrecorded_sources(node_, recorded_); });
    return std::move(pass_);
  }

 private:
  void forget_ended() {
    bool is_any = false;
    for (const auto& [name, network] : recorded_) {
      for (const auto& attachment : network.stored.attachments) {
        if (!has_ended(attachment)) continue;
        is_any = true;
        attempt([&, &name = name] {
          forget_attachment(node_, name, attachment.id);
          pass_.changes.push_back({Cause::drift,
                                   name,
                                   {"forgotten: " + attachment.id.container_id + " (" +
                                    attachment.id.interface + "), which was adopted and has ended"}});
        });
      }
    }
    if (is_any) attempt([this] { recorded_ = read_recorded(node_.store); });
  }

  // Markers that were lost, and rules that stand for pods whose files were.
  void keep_what_nobody_tells(const std::string& name, state::Network& network) {
    try {
      if (network.lacks_markers) node_.store.restore_markers(name);
      if (!network.record || !network.is_complete) return;
      auto unrecorded = standing_beside(network.wanted_subnets(), name, node_);
      if (unrecorded.empty()) return;
      for (const auto& subnet : unrecorded) {
        pass_.warnings.insert("rules of " + net::to_text(subnet) + ", network " + name +
                              ", stand of whose pods nothing is recorded here: they stay until a GC");
      }
      network.record->unrecorded.merge(unrecorded);
      node_.store.save(name, *network.record);
    } catch (const std::exception& error) {
      tell_failure(name, error);
    }
  }

  void tell_failure(const std::string& network, const std::exception& error) {
    pass_.is_right = false;
    failed_.insert(network);
    pass_.problems.push_back("network " + network + ": " + error.what());
  }

  void describe(const std::string& name, const RecordedNetwork& network) {
    if (network.written_later)
      pass_.problems.push_back("record-of-later-version: network " + name + ": " + *network.written_later);
    for (const auto& problem : network.problems)
      pass_.problems.push_back("record-damaged: network " + name + ": " + problem);
    for (const auto& reason : network.stored.unread)
      pass_.problems.push_back("network " + name + ": " + reason);
    pass_.is_right =
        pass_.is_right && network.problems.empty() && network.stored.unread.empty() && !network.written_later;
    pass_.attachments[name] = network.stored.attachments.size();
    if (!network.configuration) return;
    pass_.has_wrong_config[name] = !network.configuration->problems.empty();
    for (const auto& problem : network.configuration->problems) {
      pass_.problems.push_back("config-wrong: network " + name + " keeps what was good last: " + problem);
    }
    const auto& netconf = network.configuration->netconf;
    for (const auto& policy : netconf.policies) {
      pass_.policies[name][policy.name] = static_cast<std::size_t>(
          std::ranges::count(network.stored.attachments, policy.name, &state::Attachment::policy));
    }
    pass_.warnings.insert(netconf.warnings.begin(), netconf.warnings.end());
    pass_.files.insert({netconf.config_file, netconf.subnet_file});
    pass_.resync_interval =
        std::min(pass_.resync_interval.value_or(netconf.resync_interval), netconf.resync_interval);
  }

  // The usual case: one look at each back end, and nothing to do.
  bool is_all_right() {
    try {
      for (const auto& [name, network] : recorded_) {
        if (network.configuration && !is_settled(network)) return false;
      }
      return std::ranges::all_of(config::all_backends, [this](auto backend) {
        return !may_be_used(backend) ||
               node_.open(backend)->differences(ruleset_of(recorded_, backend)).empty();
      });
    } catch (const Error&) {
      return false;  // who is to blame is found one by one
    }
  }

  bool is_settled(const RecordedNetwork& network) const {
    const auto& record = *network.stored.record;
    return network.led_anew.empty() && !record.is_carried_over && !record.placement.leaving &&
           !record.changed_from && record.made_of == network.configuration->made_of &&
           choose_backend(node_, *network.plan(), record, netfilter::Tables::stay) == record.placement.on;
  }

  bool is_used(config::Backend backend) const {
    return std::ranges::any_of(recorded_, [backend](const auto& each) {
      const auto& record = each.second.stored.record;
      return record && record->placement.on == backend;
    });
  }

  // Somebody may have restored rules of ours where no network is.
  bool may_be_used(config::Backend backend) const {
    return is_used(backend) || node_.open(backend)->may_hold_rules();
  }

  // One network's trouble is its own.
  void settle(const std::string& name, const RecordedNetwork& network) {
    const auto plan = network.plan();
    if (!plan || failed_.contains(name)) return;
    Transaction transaction(node_);
    try {
      node_.store.put_in_order(name);
      bool are_to_follow = false;
      transaction.run([&] { are_to_follow = transaction.settle(*plan, network.stored.record); });
      const bool is_as_made = network.stored.record->made_of == network.configuration->made_of;
      append(is_as_made ? Cause::drift : Cause::configuration, name, transaction);
      if (are_to_follow) follow_change(name);
    } catch (const std::exception& error) {
      tell_failure(name, error);
    }
  }

  void follow_change(const std::string& network) {
    auto followed = end_changed_flows(node_, network);
    if (followed.ended > 0) {
      pass_.followed.push_back("network " + network + ": ended " + std::to_string(followed.ended) +
                               " connections, which follow the lists by that");
    }
    if (!followed.problem.empty())
      pass_.warnings.insert("network " + network + ": " + std::move(followed.problem));
  }

  // What all networks of a back end have in common: the order, and marks that none has any more.
  void settle_together() {
    if (!failed_.empty()) return;
    attempt([this] { recorded_ = read_recorded(node_.store); });
    for (const auto& [name, network] : recorded_) {
      if (!network.led_anew.empty()) settle(name, network);  // which could not be read before
    }
    if (!failed_.empty()) return;
    for (const auto backend : config::all_backends) {
      attempt([this, backend] {
        if (!may_be_used(backend)) return;
        Transaction transaction(node_);
        transaction.run([&] { transaction.apply(backend, ruleset_of(recorded_, backend)); });
        append(was_configured_ ? Cause::configuration : Cause::drift, "", transaction);
      });
    }
  }

  // What goes wrong is told beside what was done.
  void attempt(const std::function<void()>& step) {
    try {
      step();
    } catch (const std::exception& error) {
      pass_.is_right = false;
      pass_.problems.emplace_back(error.what());
    }
  }

  void append(Cause cause, const std::string& network, Transaction& transaction) {
    was_configured_ = was_configured_ || cause == Cause::configuration;
    auto lines = transaction.take_changes();
    if (!lines.empty()) pass_.changes.push_back({cause, network, std::move(lines)});
  }

  Node node_;
  Recorded recorded_;
  SyncPass pass_;
  bool was_configured_ = false;   ///< the configuration of a network had changed
  std::set<std::string> failed_;  ///< networks that could not be settled
};

}  // namespace

std::size_t count(const std::vector<KernelChanges>& changes, std::optional<Cause> cause) {
  std::size_t all = 0;
  for (const auto& each : changes) all += !cause || each.cause == *cause ? each.lines.size() : 0;
  return all;
}

std::vector<std::string> first_texts(const std::vector<KernelChanges>& changes) {
  std::vector<std::string> texts;
  for (const auto& [cause, network, lines] : changes) {
    const std::string what = cause == Cause::drift ? "mended: " : "configured: ";
    const auto whose = network.empty() ? "" : "network " + network + ": ";
    for (auto line = lines.begin(); line != lines.end() && texts.size() < most_lines; ++line)
      texts.push_back(what + whose + *line);
  }
  if (const auto all = count(changes); all > texts.size())
    texts.push_back(and_more(all - texts.size(), " changes"));
  return texts;
}

SyncPass sync_pass(const state::Store& store, netfilter::Kernel& kernel,
                   std::chrono::nanoseconds lock_timeout) {
  const Node node{kernel, store, lock_timeout};
  // Where nothing is recorded no folder is made for a lock: all that can go then is what leads nowhere.
  std::optional<os::FileLock> lock;
  if (store.exists()) lock.emplace(node.lock_exclusive());
  return Pass(node).run();
}

}  // namespace ipmasq::plugin
