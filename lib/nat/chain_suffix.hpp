// What tells the chains of networks apart, in either back end.
#pragma once

#include <string>
#include <string_view>

namespace ipmasq::nat {

/// 12 hexadecimal digits, a hash of the network's name (of a policy's chain that and the policy's, as
/// nat::to_text(Owner) has them): two networks never share a chain. The same in every
/// version and on every machine, or an upgrade would leave rules behind.
std::string chain_suffix(std::string_view network);

/// Whether `text` has the form of a suffix.
bool is_chain_suffix(std::string_view text);

}  // namespace ipmasq::nat
