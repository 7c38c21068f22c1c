// Rules, chains and sets of somebody else, as far as they say what becomes of a pod's packets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/mark.hpp"
#include "net/address.hpp"
#include "net/range.hpp"

namespace ipmasq::nat {

/// A part of a rule that must match, or must not.
template <typename Value>
struct Match {
  Value value;
  bool inverted = false;

  bool operator==(const Match&) const = default;
};

/// What conntrack says of a packet's connection: one of these bits. linux/netfilter/nf_conntrack_common.h
/// (NF_CT_STATE_BIT).
namespace connection_state {
inline constexpr std::uint32_t invalid = 1U << 0U;  ///< also what is not known to conntrack yet
inline constexpr std::uint32_t established = 1U << 1U;
inline constexpr std::uint32_t related = 1U << 2U;
inline constexpr std::uint32_t fresh = 1U << 3U;  ///< NEW
inline constexpr std::uint32_t untracked = 1U << 6U;
inline constexpr std::uint32_t translated = 1U << 16U;  ///< beside the others: iptables' SNAT and DNAT
}  // namespace connection_state

/// Of TCP's flags (netinet/tcp.h: TH_*) those that are looked at, and which of them are to be there.
struct TcpFlags {
  std::uint8_t mask = 0;
  std::uint8_t set = 0;

  bool operator==(const TcpFlags&) const = default;
};

/// A look into a set or map of the rule's nftables table. Of its key these parts are told: where in the key
/// they begin, in bytes.
struct Lookup {
  std::string set;
  std::optional<unsigned> source_at = {};
  std::optional<unsigned> destination_at = {};
  bool inverted = false;
  std::optional<unsigned> state_at = {};
  std::optional<unsigned> protocol_at = {};
  std::optional<unsigned> in_interface_at = {};
  std::optional<unsigned> out_interface_at = {};

  /// Whether anything of its key can be told.
  bool is_told() const;

  bool operator==(const Lookup&) const = default;
};

/// Of a packet's mark, or of its connection's. The new one is (old & keep) ^ flip ^ moved(other).
struct MarkChange {
  std::uint32_t keep = 0;
  std::uint32_t flip = 0;
  std::uint32_t other = 0;    ///< bits of the other mark: a packet's gets its connection's, and the other way
  std::int8_t moved_by = 0;   ///< these, to the left; less than 0: to the right
  std::uint32_t unknown = 0;  ///< bits that come from elsewhere: a map, a hash

  /// Where bits of the other mark come to.
  std::uint32_t moved(std::uint32_t bits) const;
  /// Bits that may become others.
  std::uint32_t touched() const { return ~keep | flip | moved(other) | unknown; }

  bool operator==(const MarkChange&) const = default;
};

/// DNAT, REDIRECT, TPROXY, and nft's `ip daddr set`.
struct Redirection {
  std::optional<net::Range> to = {};  ///< none: not to be read here
  bool to_this_node = false;          ///< to a program on it
  bool by_nat = true;                 ///< only where the connection is tracked, and once for each

  bool operator==(const Redirection&) const = default;
};

/// A zone of connection tracking: a connection is known in its own alone.
struct Zone {
  enum class Of { both, sent, answers };  ///< directions; in the other one it is zone 0, as without a rule

  std::optional<std::uint16_t> number = {};  ///< none: not to be read
  Of of = Of::both;

  bool operator==(const Zone&) const = default;
};

/// Queues that packets are handed to (QUEUE, NFQUEUE), spread over all of them.
struct Queues {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  bool may_be_unread = false;  ///< where nobody reads one, packets go on

  bool operator==(const Queues&) const = default;
};

/// One rule, or a part of one of nft, which does things between its matches. All parts that are set must
/// match, then it does all that it does.
struct ForeignRule {
  /// That shows it: "iptables-legacy", "ip6tables-legacy", "nft"; "tc" what stands at an interface beside
  /// netfilter, whose name is `table`: a filter of `chain` (ingress, egress), or an XDP program (xdp).
  std::string program;
  std::string family = {};  ///< of nft: "ip", "ip6", "inet", "bridge", "netdev"
  std::string table = "nat";
  std::string chain;
  std::uint64_t handle = 0;  ///< of nft
  std::size_t number = 0;    ///< of iptables: its place in the chain, from 1
  /// What the same rule asks for and does before this part, as to_text() has it: the part right before this
  /// one must have matched. None where it is the first.
  std::optional<std::string> parts_before = {};

  std::optional<Match<net::Prefix>> source = {};
  std::optional<Match<net::Prefix>> destination = {};
  std::optional<Match<net::Range>> source_range = {};  ///< beside `source`, likewise
  std::optional<Match<net::Range>> destination_range = {};
  std::optional<Match<std::string>> in_interface = {};  ///< "eth+": all that begin so
  std::optional<Match<std::string>> out_interface = {};
  std::optional<Match<std::uint32_t>> protocol = {};
  std::optional<Match<config::Mark>> mark = {};
  std::optional<Match<config::Mark>> connection_mark = {};
  std::optional<Match<std::uint32_t>> states = {};  ///< one of these: bits, as connection_state has them
  std::optional<Match<TcpFlags>> tcp_flags = {};
  std::optional<bool> is_fragment = {};   ///< whether a packet came in pieces and this is not the first one
  std::optional<bool> is_bridged = {};    ///< whether it goes on to another port of the bridge it came by
  std::optional<bool> has_way_back = {};  ///< whether a route leads to its source by where it came from
  std::optional<net::Family> only = {};   ///< the family that it asks for, in a table of both
  std::string comment = {};
  bool to_local = false;      ///< -m addrtype --dst-type LOCAL
  bool not_to_local = false;  ///< -m addrtype ! --dst-type LOCAL
  bool from_local = false;    ///< -m addrtype --src-type LOCAL
  std::vector<Lookup> lookups = {};
  std::vector<std::string> other_matches = {};  ///< kinds of those that cannot be told here

  std::string target = {};  ///< "MASQUERADE", "SNAT", "ACCEPT", "RETURN", a chain; empty for anything else
  bool is_jump = false;     ///< `target` is a chain
  bool is_goto = false;     ///< and what it lets fall through does not come back
  std::optional<Lookup> verdicts = {};  ///< nft's vmap: the set's elements say where to
  std::optional<net::Range> translates_to = {};
  std::optional<Redirection> redirection = {};
  std::optional<MarkChange> mark_change = {};
  std::optional<Lookup> mark_map = {};  ///< that the new mark is looked up in; where it was read, it counts
  std::optional<MarkChange> connection_mark_change = {};
  bool untracks = false;          ///< NOTRACK
  std::optional<Zone> zone = {};  ///< that it puts connections into
  std::optional<Queues> queues = {};
  bool rewrites_source = false;  ///< without NAT: nft's `ip saddr set`
  bool is_not_known = false;     ///< `target` may do anything
  bool is_above_ours = false;    ///< in the POSTROUTING of legacy iptables, before the jump to our chain

  bool operator==(const ForeignRule&) const = default;

  bool translates() const;
  /// Whether it is of a chain that others have to mark what they masquerade themselves: packets for services,
  /// which are told by matches that cannot always be read (ipsets).
  bool is_of_services() const;
  /// Whether it leaves to others what has a mark, and does no more.
  bool yields() const;
};

enum class Hook { ingress, prerouting, forward, postrouting, egress };

/// A base chain of somebody else that packets meet which this node forwards.
struct ForeignChain {
  std::string family;  ///< "ip", "ip6", "inet", "bridge", "netdev"; empty of legacy iptables
  std::string table;
  std::string chain;
  std::int32_t priority = 0;
  Hook hook = Hook::postrouting;
  bool is_nat = true;  ///< of type nat
  std::string program = "nft";
  std::vector<std::string> devices =
      {};              ///< by which they come or leave; empty: any. "eth+": all that begin so
  bool drops = false;  ///< what no rule decides: its policy

  bool operator==(const ForeignChain&) const = default;
};

/// An element of a set: keys as their bytes, as the kernel has them, both ends belong to it. None of either:
/// whatever no other element has.
struct ForeignElement {
  std::string first;
  std::string last;
  std::string target = {};  ///< of a verdict map: as ForeignRule has it
  bool is_jump = false;
  bool is_goto = false;
  std::optional<std::uint32_t> number = {};  ///< of a map to marks

  bool is_any_other() const { return first.empty(); }
  bool operator==(const ForeignElement&) const = default;
};

struct ForeignSet {
  std::string family;
  std::string table;
  std::string name;
  std::vector<ForeignElement> elements;

  bool operator==(const ForeignSet&) const = default;
};

/// For which our own rules that stand, in either place, leave packets to others.
struct StandingYieldMarks {
  std::vector<config::Mark> nftables = {};
  std::vector<config::Mark> iptables = {};

  bool operator==(const StandingYieldMarks&) const = default;
};

/// All that others have in netfilter. Rules of a chain stand in their order; there can be 40,000 of them,
/// which stay where they are.
struct Foreign {
  std::deque<ForeignRule> rules;
  std::vector<ForeignChain> chains;
  std::vector<ForeignSet> sets;  ///< that rules look into by what can be told, for a verdict or a mark
  StandingYieldMarks yield_marks = {};
  std::optional<std::set<std::uint16_t>> read_queues = {};  ///< that a program reads; none: not known

  bool operator==(const Foreign&) const = default;
};

/// "iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", and of nft the same
/// after "nft ip nat POSTROUTING handle 5:". Matches that cannot be told stand as "-m KIND ...".
std::string to_text(const ForeignRule& rule);

/// Of that what it asks for and does: " -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE".
std::string specification(const ForeignRule& rule);

/// The command that deletes it, for a shell; a comment of one where none can name it.
std::string delete_command(const ForeignRule& rule);

/// Whether that command names the rule by its number, which changes with every rule before it.
bool is_deleted_by_number(const ForeignRule& rule);

/// Whether nft takes both for names. It joins its words and reads them as its own language, so that the
/// shell's quotes keep nothing in a name from being a command of it.
bool can_be_named_to_nft(const std::string& table, const std::string& chain);

/// For a shell, of what no command can name.
std::string by_its_owner(const std::string& what);

/// The first queue of a rule that loses what it gets, since nobody reads it; nullopt where there is none.
std::optional<std::uint16_t> lost_queue(const ForeignRule& rule, const Foreign& foreign);

/// As one word of a shell's command.
std::string shell_word(const std::string& text);

/// What a terminal and JSON can show: control characters and what is not UTF-8 as "\x1b".
std::string printable(std::string_view text);

}  // namespace ipmasq::nat
