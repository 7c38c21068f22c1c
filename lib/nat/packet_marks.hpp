// The mark of a packet, and that of its connection, as far as they are known.
#pragma once

#include <compare>
#include <cstdint>

#include "config/mark.hpp"
#include "nat/answer.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

struct PacketMark {
  std::uint32_t value = 0;
  std::uint32_t unknown = 0;  ///< bits

  auto operator<=>(const PacketMark&) const = default;

  Answer has(const config::Mark& mark) const;
  /// `other`: of the connection, where this one is the packet's, and the other way round.
  void change(const MarkChange& by, const PacketMark& other, Answer certainty);
  /// Of which nobody can tell whether it is this one or the other.
  void may_be(const PacketMark& other);
};

struct Marks {
  PacketMark packet;
  PacketMark connection;

  auto operator<=>(const Marks&) const = default;

  void may_be(const Marks& other);
};

}  // namespace ipmasq::nat
