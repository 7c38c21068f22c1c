#include "config/backend.hpp"

#include <algorithm>

namespace ipmasq::config {

std::string to_text(Backend backend) {
  return backend == Backend::nftables ? "nftables" : "iptables";
}

std::optional<Backend> parse_backend(std::string_view text) {
  const auto* const found =
      std::ranges::find_if(all_backends, [text](Backend each) { return to_text(each) == text; });
  return found == all_backends.end() ? std::nullopt : std::optional(*found);
}

}  // namespace ipmasq::config
