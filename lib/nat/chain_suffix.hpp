// What tells the chains of pod subnets apart, in either back end.
#pragma once

#include <string>
#include <string_view>

#include "net/address.hpp"

namespace ipmasq::nat {

/// 12 hexadecimal digits, a hash of the network's name and the subnet: two networks never share a chain. The
/// same in every version and on every machine, or an upgrade would leave rules behind.
std::string chain_suffix(std::string_view network, const net::Prefix& subnet);

/// Whether `text` has the form of a suffix.
bool is_chain_suffix(std::string_view text);

}  // namespace ipmasq::nat
