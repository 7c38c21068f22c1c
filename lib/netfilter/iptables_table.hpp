// The nat table of one family as the kernel has it now: read raw for a look, by libiptc for a change.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nat/iptables_observed.hpp"
#include "nat/iptables_target.hpp"
#include "netfilter/iptables_family.hpp"

namespace ipmasq::netfilter {

/// Whether this network namespace has a legacy table of that name. Asking makes none.
template <typename Tables>
bool has_table(const char* table);

/// Whether this network namespace has a legacy nat table. Asking makes none, which every other call here
/// does; but where there is no /proc to ask, only the table itself can tell. Throws Error.
template <typename Tables>
bool has_nat_table();

/// Our part of the table, by one IPT_SO_GET_INFO and one IPT_SO_GET_ENTRIES: libiptc would copy every rule
/// there is. Throws Error.
template <typename Tables>
nat::iptables::ObservedTable read_nat_table();

template <typename Tables>
using EntryVisitor = std::function<void(std::string_view chain, std::size_t index,
                                        const typename Tables::Entry& entry, std::string_view target)>;

/// Calls `visit` with every rule of a table ("nat", "raw"), policies aside; `target` as decode() takes it. A
/// table that is not there is made. Returns the built-in chains whose policy is to drop. Throws Error:
/// Kind::absent, Kind::forbidden.
template <typename Tables>
std::set<std::string> visit_table(const char* table, const EntryVisitor<Tables>& visit);

/// What one commit made of our part of a table.
struct TableChange {
  nat::iptables::ObservedTable before;
  nat::iptables::State after;
};

using StateFor = std::function<nat::iptables::State(const nat::iptables::ObservedTable&)>;

/// Brings the table, in one commit, to what `state_for` says of it as libiptc reads it now; nullopt where all
/// is right and nothing was committed. The caller holds the xtables lock. A commit that the kernel refuses
/// with EAGAIN (somebody changed the table without the lock) is tried again from a fresh read; one that
/// failed after the rules were in, at their counters, is done. Throws Error: absent, forbidden, failed,
/// refused, busy; the table is then as it was.
template <typename Tables>
std::optional<TableChange> change_nat_table(const StateFor& state_for);

/// Collects our part of a table while its rules pass by.
template <typename Tables>
class Observer {
 public:
  /// A chain; `rules`: how many it has where it is ours, so that a long list is not held twice while it
  /// grows.
  void enter(std::string_view chain, std::size_t rules);
  /// Rules of that chain in their order, of POSTROUTING and ours all; `target` as decode() takes it.
  void see(std::string_view chain, const typename Tables::Entry& entry, const std::string& target);
  nat::iptables::ObservedTable& table() { return table_; }

 private:
  nat::iptables::ObservedTable table_;
  std::vector<nat::iptables::ObservedRule>* entered_ = nullptr;  // the chain, where it is ours
};

}  // namespace ipmasq::netfilter
