// Base64 as Go's encoding/json writes bytes (RFC 4648, section 4, with padding).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::cni {

/// nullopt for what is no base64.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace ipmasq::cni
