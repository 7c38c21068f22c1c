// Our nftables table as the kernel has it now.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::netfilter {

/// Our table as it was at one moment; what it costs does not depend on what else is in nftables. Throws
/// Error: absent, forbidden, failed, and busy where others commit all the time.
nat::nftables::ObservedTable read_nftables_table();

/// The same, but of maps and sets of single addresses what they have for `addresses` alone; what they have
/// beyond is stood in for, see nat::nftables::add_stand_ins.
nat::nftables::ObservedTable read_nftables_table(const std::set<net::Address>& addresses);

/// The same, and the generation of nftables that it was read in: what was read may be of several moments, but
/// a commit with that generation is refused then.
struct NftablesSnapshot {
  std::uint32_t generation = 0;
  nat::nftables::ObservedTable table;
};
NftablesSnapshot read_nftables_snapshot();
NftablesSnapshot read_nftables_snapshot(const std::set<net::Address>& addresses);

/// Whether our table is there. Throws Error: forbidden, busy, failed.
bool has_nftables_table();

/// The names of the chains in it. Throws Error as has_nftables_table.
std::set<std::string> nftables_chains();

struct NftablesChange {
  nat::nftables::ObservedTable before;
  std::vector<nat::nftables::Edit> edits;  ///< none where nothing was committed
};

using NftablesTargetFor = std::function<nat::nftables::Table(const nat::nftables::ObservedTable&)>;

/// Brings our table to what `target_for` says of it as it is, in one batch that the kernel takes only where
/// nobody committed since it was read; else it is read and decided again, for a while. Throws Error: absent
/// where the kernel lacks what a rule needs, refused, forbidden, busy, failed; the table is then as it was,
/// or the message says that this is not known.
NftablesChange change_nftables_table(const NftablesTargetFor& target_for);

/// The same with a table of which only `addresses` were read; nullopt, and nothing changed, where more than
/// their elements has to change.
std::optional<NftablesChange> change_nftables_elements(const std::set<net::Address>& addresses,
                                                       const NftablesTargetFor& target_for);

/// Has the kernel check everything that `table` has, and changes nothing. Throws Error as
/// change_nftables_table.
void check_nftables_table(const nat::nftables::Table& table);

}  // namespace ipmasq::netfilter
