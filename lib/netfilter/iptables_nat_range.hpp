// What the targets SNAT and MASQUERADE hold (linux/netfilter/nf_nat.h).
#pragma once

#include <arpa/inet.h>  // before the kernel's headers, which then leave its types out
#include <linux/netfilter/nf_nat.h>

#include <optional>

#include "nat/source_nat.hpp"

namespace ipmasq::netfilter {

/// The structure that a family's targets use.
template <typename Range>
Range to_kernel(const nat::SourceNat& target);

/// nullopt for a range that ip-masq never writes. `is_snat`: of SNAT, which has an address; else of
/// MASQUERADE, which has none.
template <typename Range>
std::optional<nat::SourceNat> from_kernel(const Range& range, bool is_snat);

}  // namespace ipmasq::netfilter
