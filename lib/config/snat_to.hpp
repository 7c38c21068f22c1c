// What masqueraded connections get as their source, as the key snatTo has it.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "config/keys.hpp"
#include "net/range.hpp"

namespace ipmasq::config {

/// Of one family.
struct SnatTo {
  std::optional<net::Range> everywhere = {};            ///< none: the address of the outgoing interface
  std::map<std::string, net::Range> by_interface = {};  ///< instead, where that is the way out

  bool operator==(const SnatTo&) const = default;
};

struct SnatToOfFamilies {
  SnatTo ipv4 = {};
  SnatTo ipv6 = {};
};

/// Notes in `keys` whatever is wrong.
SnatToOfFamilies read_snat_to(Keys& keys);

}  // namespace ipmasq::config
