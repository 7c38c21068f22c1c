// A connection's first packet, or an answer to it, on its way through others' chains: what it matches there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "nat/answer.hpp"
#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"
#include "nat/packet_marks.hpp"
#include "net/address.hpp"
#include "net/range.hpp"

namespace ipmasq::nat {

/// "eth+": all that begin so.
bool is_interface_of(const std::string& pattern, const std::string& name);

/// Addresses of a packet, of which one or many are asked about.
class Addresses {
 public:
  explicit Addresses(const std::vector<net::Prefix>& prefixes);

  bool empty() const { return ranges_.empty(); }
  Answer lie_in(const net::Range& range) const;

 private:
  std::vector<net::Range> ranges_;
};

/// Lives no longer than what it was made of.
class Packet {
 public:
  Packet(const Foreign& foreign, const Flow& flow);

  net::Family family() const { return flow_.sources.front().family(); }

  /// Comes to a base chain: whose hook decides what is known of its interfaces and its connection. Returns
  /// whether it does.
  Answer enters(const ForeignChain& base);
  /// Whether somebody kept it out of connection tracking, before it entered.
  void is_untracked(Answer untracked) { untracked_ = untracked; }
  void goes_to(const net::Address& destination);

  /// Whether it matches a rule, a part of one, an element of a set; only where it entered a base chain.
  Answer holds(const ForeignRule& rule, const Marks& marks);
  Answer is_element(const ForeignElement& element, const Lookup& lookup) const;
  /// nullptr where the set was not read.
  const ForeignSet* set_of(const ForeignRule& rule, const Lookup& lookup) const;

 private:
  std::set<std::string> ports(const std::set<std::string>& devices,
                              const std::optional<std::string>& interface) const;
  Answer is_in_interface(const Match<std::string>& match) const;
  Answer is_out_interface(const Match<std::string>& match) const;
  Answer destination_lies_in(const Match<net::Prefix>& match) const;
  Answer destination_lies_in(const net::Range& range) const;
  Answer is_in_set(const ForeignRule& rule, const Lookup& lookup);
  bool is_answer() const { return flow_.comes_back; }
  bool is_translated_at(const ForeignChain& base) const;
  Answer source_lies_in(const net::Range& range) const;
  std::uint32_t states_at(const ForeignChain& base) const;
  Answer has_state(std::uint32_t states) const;
  Answer is_protocol(std::uint32_t first, std::uint32_t last) const;
  Answer has_flags(const TcpFlags& flags) const;
  Answer is_fragment() const;
  Answer is_bridged() const;

  using Place = std::optional<unsigned>;
  using SetPart = std::tuple<const ForeignSet*, Place, Place, Place, Place, Place, Place>;

  const Flow& flow_;
  Addresses sources_;
  std::optional<net::Address> destination_;
  Addresses destinations_;
  Addresses translated_;
  bool is_translated_ = false;  // where it is now
  const ForeignChain* base_ = nullptr;
  Answer untracked_ = Answer::no;
  std::uint32_t states_ = 0;  // one of which it has, as connection_state has them
  std::unordered_map<std::string, const ForeignSet*> sets_;
  std::map<SetPart, Answer> in_sets_;  // sets can be large, and many rules ask the same one
};

}  // namespace ipmasq::nat
