// The registers that the expressions of a rule hand values on in, as far as ip-masq's rules load them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

enum class Holds {
  nothing,
  address_family,
  mark,
  protocol,
  source,
  destination,
  sent_to,  ///< the destination that the connection had before somebody redirected it
  redirection,
  state,
  address_type,
  random,
  out_interface,
  constant,
};

/// What was loaded into a register, and what became of it there.
struct Load {
  Holds holds = Holds::nothing;
  std::size_t length = 0;          ///< in bytes
  Bytes constant = {};             ///< of Holds::constant
  std::uint32_t modulus = 0;       ///< of Holds::random
  std::optional<Bytes> mask = {};  ///< that it was ANDed with
  bool is_big_endian = false;      ///< turned from the host's order
};

/// 16 registers of 4 bytes, which are also numbered as 4 of 16 bytes: linux/netfilter/nf_tables.h,
/// nft_registers.
class Registers {
 public:
  void load(std::uint32_t number, Load load) {
    const auto first = place_of(number);
    const auto behind = first + words(load);
    std::erase_if(loads_, [&](const auto& other) {
      return other.first < behind && first < other.first + words(other.second);
    });
    loads_[first] = std::move(load);
  }

  /// What begins at a register and is whole.
  Load& at(std::uint32_t number) { return loads_[place_of(number)]; }

 private:
  static constexpr std::size_t word = NFT_REG32_SIZE;
  static constexpr std::size_t nowhere = NFT_REG32_COUNT;

  static std::size_t words(const Load& load) {
    return std::max<std::size_t>((load.length + word - 1) / word, 1);
  }
  static std::size_t place_of(std::uint32_t number) {
    if (number >= NFT_REG_1 && number <= NFT_REG_4) return (number - NFT_REG_1) * (NFT_REG_SIZE / word);
    if (number >= NFT_REG32_00 && number <= NFT_REG32_15) return number - NFT_REG32_00;
    return nowhere;
  }

  std::map<std::size_t, Load> loads_;
};

}  // namespace ipmasq::netfilter
