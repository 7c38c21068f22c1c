// The marks that others give to what pods send, and to the answers, before their ways are chosen.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "doctor/facts.hpp"
#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"
#include "net/address.hpp"
#include "routing/kinds.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

/// Of packets of one flow, as far as rules of policy routing ask for marks.
routing::MarksByProtocol marks_of(const nat::Flow& flow, const routing::PolicyRouting& routing,
                                  const nat::Foreign& foreign);

/// Of pods of one family. Where what is said of all that come by a way leaves nothing open, that is the
/// answer for each. Lives no longer than what it was made of.
class PodMarks {
 public:
  /// Throws Error{failed}.
  PodMarks(const routing::PolicyRouting& routing, const nat::Foreign& foreign);

  /// What a pod sends to some of a network.
  routing::MarksByProtocol sent(const doctor::PodWay& way, const net::Address& pod, const net::Prefix& to);
  /// The answers that come by an uplink.
  routing::MarksByProtocol answers(const doctor::PodWay& way, const net::Address& pod,
                                   const net::Prefix& from, const std::string& uplink);

 private:
  enum class Direction { sent, answers };
  routing::MarksByProtocol of(const doctor::PodWay& way, const net::Address& pod, const net::Prefix& other,
                              Direction direction);

  const routing::PolicyRouting& routing_;
  const nat::Foreign& foreign_;
  std::set<net::Address> node_addresses_;
  std::map<std::string, std::set<std::string>> devices_of_;  // uplinks
  // A pod's interface, those that it may come by, the uplink.
  using Way = std::tuple<std::optional<std::string>, std::set<std::string>, std::optional<std::string>>;
  std::map<std::pair<Direction, Way>, routing::Marks> of_all_;
};

}  // namespace ipmasq::plugin
