// The versions of the CNI spec that ip-masq speaks.
#pragma once

#include <array>
#include <string_view>

namespace ipmasq::cni {

/// Oldest first.
inline constexpr std::array<std::string_view, 5> supported_versions{"0.3.0", "0.3.1", "0.4.0", "1.0.0",
                                                                    "1.1.0"};
inline constexpr std::string_view newest_version = supported_versions.back();

bool is_supported(std::string_view version);

/// Both must be supported.
bool is_older(std::string_view version, std::string_view than);

}  // namespace ipmasq::cni
