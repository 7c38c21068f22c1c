// Which of the kernel's two NATs carries a network's rules.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::config {

enum class Backend { nftables, iptables };

inline constexpr std::array<Backend, 2> all_backends{Backend::nftables, Backend::iptables};

/// "nftables", "iptables"; as the netconf writes them.
std::string to_text(Backend backend);
std::optional<Backend> parse_backend(std::string_view text);

}  // namespace ipmasq::config
