// The nat table of one family as the kernel has it now: read raw for a look, by libiptc for a change.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "nat/iptables_difference.hpp"
#include "netfilter/iptables_family.hpp"

namespace ipmasq::netfilter {

/// Whether this network namespace has a legacy nat table. Asking makes none, which every other call here
/// does.
template <typename Tables>
bool has_nat_table();

/// Throws Error: Kind::absent, Kind::forbidden where the table cannot be read: no kernel support, or no
/// right to.
template <typename Tables>
void check_nat_table();

/// Our part of the table, by one IPT_SO_GET_INFO and one IPT_SO_GET_ENTRIES: libiptc would copy every rule
/// there is. Throws Error: Kind::absent, Kind::forbidden.
template <typename Tables>
nat::iptables::ObservedTable read_nat_table();

template <typename Tables>
using EntryVisitor =
    std::function<void(std::string_view chain, const typename Tables::Entry& entry, std::string_view target)>;

/// Calls `visit` with every rule of the table, policies aside; `target` as decode() takes it. Throws
/// Error: Kind::absent, Kind::forbidden.
template <typename Tables>
void visit_nat_table(const EntryVisitor<Tables>& visit);

using EditsFor = std::function<std::vector<nat::iptables::Edit>(const nat::iptables::ObservedTable&)>;

/// Carries out in one commit what `edits_for` says of the table that libiptc reads now; the edits, none where
/// nothing was committed. The caller holds the xtables lock. A commit that the kernel refuses with EAGAIN
/// (somebody changed the table without the lock) is tried again from a fresh read. Throws Error:
/// Kind::absent, Kind::refused, busy; the table is then as it was.
template <typename Tables>
std::vector<nat::iptables::Edit> change_nat_table(const EditsFor& edits_for);

/// Collects our part of a table while its rules pass by.
template <typename Tables>
class Observer {
 public:
  void enter(std::string_view chain);
  /// Rules of a chain in their order; `target` as decode() takes it.
  void see(std::string_view chain, std::size_t index, const typename Tables::Entry& entry,
           std::string_view target);
  nat::iptables::ObservedTable& table() { return table_; }

 private:
  nat::iptables::ObservedTable table_;
};

}  // namespace ipmasq::netfilter
