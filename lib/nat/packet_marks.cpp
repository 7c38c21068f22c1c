#include "nat/packet_marks.hpp"

namespace ipmasq::nat {

Answer PacketMark::has(const config::Mark& mark) const {
  if (((value ^ mark.value) & mark.mask & ~unknown) != 0) return Answer::no;
  return (unknown & mark.mask) != 0 ? Answer::may : Answer::yes;
}

void PacketMark::change(const MarkChange& by, const PacketMark& other, Answer certainty) {
  const auto after = (value & by.keep) ^ by.flip ^ by.moved(by.other & other.value);
  const auto unknown_after = (unknown & by.keep) | by.unknown | by.moved(by.other & other.unknown);
  if (certainty == Answer::yes) {
    value = after;
    unknown = unknown_after;
  } else {
    unknown |= unknown_after | (value ^ after);
  }
}

void PacketMark::may_be(const PacketMark& other) {
  unknown |= other.unknown | (value ^ other.value);
}

void Marks::may_be(const Marks& other) {
  packet.may_be(other.packet);
  connection.may_be(other.connection);
}

}  // namespace ipmasq::nat
