// Our nftables table as the kernel has it now.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nat/nftables_difference.hpp"

namespace ipmasq::netfilter {

/// Our table; what it costs does not depend on what else is in nftables. Throws Error: Kind::absent,
/// Kind::forbidden.
nat::nftables::ObservedTable read_nftables_table();

/// Whether our table is there. Throws Error: Kind::absent, Kind::forbidden.
bool has_nftables_table();

using NftablesEditsFor = std::function<std::vector<nat::nftables::Edit>(const nat::nftables::ObservedTable&)>;

/// Carries out in one batch what `edits_for` says of the table as it is now; the edits, none where nothing
/// was committed. Where somebody changes our table at the same moment it is read and tried again. Throws
/// Error: Kind::absent, Kind::refused; the table is then as it was.
std::vector<nat::nftables::Edit> change_nftables_table(const NftablesEditsFor& edits_for);

}  // namespace ipmasq::netfilter
