// What the registers of nf_tables hold while a rule of somebody else is read. linux/netfilter/nf_tables.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "nat/foreign_rule.hpp"
#include "net/address.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

enum class Holds {
  nothing,  // that can be told here
  source,
  destination,
  in_interface,
  in_index,
  out_interface,
  out_index,
  protocol,
  tcp_flags,
  fragment_offset,  // and the bits before it
  address_family,
  ether_type,
  mark,
  connection_mark,
  connection_state,
  address_type,
  of_map,        // what a map has for a key
  reverse_path,  // the interface that leads back to the source, of those by which it came; 0: none
  constant
};

struct Register {
  Holds holds = Holds::nothing;
  net::Family family = net::Family::ipv4;  // of an address
  std::uint32_t slots = 1;                 // of 4 bytes
  std::optional<Bytes> mask = {};          // that was laid over it
  std::optional<Bytes> flipped = {};       // and this after
  Bytes bytes = {};                        // of a constant
  nat::Lookup lookup = {};                 // of a map
};

/// Registers of 16 bytes and of 4 lie over one another.
constexpr std::uint32_t slot_of(std::uint32_t number) {
  constexpr std::uint32_t slots_each = NFT_REG_SIZE / NFT_REG32_SIZE;
  return number < NFT_REG32_00 ? (number - NFT_REG_1) * slots_each : number - NFT_REG32_00;
}

constexpr std::uint32_t slots_of(std::size_t bytes) {
  return std::max<std::uint32_t>(1,
                                 static_cast<std::uint32_t>((bytes + NFT_REG32_SIZE - 1) / NFT_REG32_SIZE));
}

constexpr bool overlaps(std::uint32_t first, std::uint32_t size, std::uint32_t other,
                        std::uint32_t other_size) {
  return first < other + other_size && other < first + size;
}

inline std::optional<std::uint32_t> number_in(const Bytes& bytes) {
  std::uint32_t number = 0;
  if (bytes.size() != sizeof number) return std::nullopt;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

class Registers {
 public:
  void load(std::uint32_t number, Register value) {
    const auto slot = slot_of(number);
    std::erase_if(by_slot_, [&](const auto& each) {
      return overlaps(slot, value.slots, each.first, each.second.slots);
    });
    by_slot_[slot] = std::move(value);
  }

  Register at(std::uint32_t number) const {
    const auto found = by_slot_.find(slot_of(number));
    return found == by_slot_.end() ? Register{} : found->second;
  }

  /// What packets were when it was loaded, they are no more.
  void forget(Holds what) {
    std::erase_if(by_slot_, [what](const auto& each) { return each.second.holds == what; });
  }

  void clear() { by_slot_.clear(); }

  const std::map<std::uint32_t, Register>& by_slot() const { return by_slot_; }

 private:
  std::map<std::uint32_t, Register> by_slot_;
};

}  // namespace ipmasq::netfilter
