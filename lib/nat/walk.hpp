// How a packet is followed through all that others have on its way through the node, as it is forwarded: the
// contradictions to our rules, and the places where it is dropped, come of the same walk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nat/contradictions.hpp"
#include "nat/drops.hpp"
#include "nat/packet.hpp"
#include "nat/told_contradictions.hpp"

namespace ipmasq::nat {

/// For one packet. Lives no longer than what it was made of.
class Walk {
 public:
  Walk(const Foreign& foreign, const OurPlace& ours, const Flow& flow);

  /// Once. What contradicts our rules, in the order in which it is met.
  std::vector<Contradiction> run();
  /// Instead of that: the mark that the packet has when its way is chosen.
  PacketMark mark_at_routing();
  /// And after run(): what drops it.
  const std::vector<Drop>& drops() const { return drops_; }

  /// What becomes of the connection's tracking, and by which rule of which base chain.
  struct Tracking {
    ForeignChain base;
    const ForeignRule* rule = nullptr;
  };
  /// What keeps it out for certain; what may, before that; else its zone, as the first rule that may put it
  /// into one says.
  const std::optional<Tracking>& untracked() const { return untracked_by_; }
  const std::vector<Tracking>& may_be_untracked() const { return may_be_untracked_by_; }
  const std::optional<Tracking>& zoned() const { return zoned_by_; }
  /// Whether somebody sends it elsewhere, or may.
  bool is_redirected() const { return is_redirected_; }
  /// In which answers are looked for; none: not known for certain.
  std::optional<std::uint16_t> zone() const { return zone_; }

 private:
  using Kind = Contradiction::Kind;

  // What a way through a chain came to: whether the packet went no further in it and in those that led
  // there.
  struct Visit {
    Answer ended = Answer::no;
    Marks marks;
  };

  struct Step {
    Answer certainty = Answer::yes;  // that the packet comes here
    Answer onward = Answer::yes;     // and that it does once it has come into this chain
    bool names_destination = false;  // somewhere on the way here
    bool is_above_ours = false;      // the way here begins before the jump to our chain
  };

  static std::string place(const std::string& program, const std::string& family, const std::string& table,
                           const std::string& name);
  std::int32_t our_priority() const;
  bool is_of_family(const std::string& program, const std::string& name) const;
  bool is_answer() const { return flow_.comes_back; }
  void enter(const ForeignChain& base);
  bool is_tied(const ForeignChain& base) const;
  static bool names_destination(const ForeignRule& rule);

  // ---- chains

  using Rules = std::vector<const ForeignRule*>;
  using Way = std::tuple<const Rules*, Answer, bool, bool, Marks>;
  Visit walk(const std::string& program, const std::string& family, const std::string& table,
             const std::string& chain, const Step& step);
  Answer walk(const Rules& rules, const Step& step);
  void give_up(const ForeignRule& rule);
  bool is_behind_our_jump(const ForeignRule& rule) const;

  // What a rule that is reached came to.
  struct Outcome {
    Answer ends_all = Answer::no;  // this chain, and those that led here
    Answer leaves = Answer::no;    // this chain
  };
  Outcome apply(const ForeignRule& rule, const Step& step);
  Outcome verdict(const std::string& target, const ForeignRule& rule, const Step& step);
  void pass_ours_by(const ForeignRule& rule, const Step& step);
  Outcome follow(const ForeignRule& rule, const std::string& chain, bool is_goto, const Step& step);
  Outcome follow_verdicts(const ForeignRule& rule, const Step& step);

  // ---- what rules do

  void change_mark(const ForeignRule& rule, const Step& step);
  void change_connection_mark(const MarkChange& change, const Step& step);
  /// Which changes the packet may meet by a rule, and how certainly each.
  std::vector<std::pair<MarkChange, Answer>> changes_by(const ForeignRule& rule);
  bool is_for_synproxy(const ForeignRule& rule) const;
  void untrack(const ForeignRule& rule, const Step& step);
  void put_into_zone(const ForeignRule& rule, const Step& step);
  Outcome translate(const ForeignRule& rule, const Step& step);
  Answer is_asked(const ForeignRule& rule, const Step& step) const;
  Outcome redirect(const ForeignRule& rule, const Step& step);
  std::optional<Fate> fate_towards(const net::Address& destination) const;
  void ask_ours();
  /// By a rule, or (nullptr) by the policy of the chain.
  void drop(Answer certainty, const ForeignRule* rule, bool names_destination);
  void report(Kind kind, Answer certainty, const ForeignRule& rule, const std::string& does,
              std::optional<Fate> becomes = std::nullopt);

  const Foreign& foreign_;
  const OurPlace& ours_;
  const Flow& flow_;
  Packet packet_;
  std::optional<Fate> fate_;  // by our rules: of the destination that it has now
  std::unordered_map<std::string, Rules> chains_;
  std::map<Way, Visit> visits_;  // of one base chain
  std::size_t visited_ = 0;
  std::size_t depth_ = 0;
  std::size_t met_ = 0;
  Answer doubt_ = Answer::yes;  // whether all that happened so far is known
  const ForeignChain* base_ = nullptr;
  bool passed_ours_ = false;
  Marks marks_;
  Answer untracked_ = Answer::no;
  std::optional<Hook> translated_in_;
  bool is_redirected_ = false;
  struct Marker {
    const ForeignRule* rule;
    std::vector<MarkChange> changes;  // one of these
  };
  std::vector<Marker> markers_;                       // that were met, each once
  std::map<const ForeignRule*, std::size_t> marked_;  // by their places among them
  ToldContradictions told_;
  std::vector<Drop> drops_;
  std::optional<Tracking> untracked_by_;
  std::vector<Tracking> may_be_untracked_by_;
  std::optional<Tracking> zoned_by_;
  std::optional<std::uint16_t> zone_ = 0;
};

}  // namespace ipmasq::nat
