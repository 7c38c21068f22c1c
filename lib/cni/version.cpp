#include "cni/version.hpp"

#include <algorithm>

namespace ipmasq::cni {

bool is_supported(std::string_view version) {
  return std::ranges::find(supported_versions, version) != supported_versions.end();
}

bool is_older(std::string_view version, std::string_view than) {
  return std::ranges::find(supported_versions, version) < std::ranges::find(supported_versions, than);
}

}  // namespace ipmasq::cni
