// What becomes of packets between pods of one family and hosts elsewhere, where they do not arrive: each
// question about one host, asked of this node's routing.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/foreign_rule.hpp"
#include "net/address.hpp"
#include "plugin/ways/pod_marks.hpp"
#include "plugin/ways/pods_alike.hpp"
#include "plugin/ways/told_no_ways.hpp"
#include "routing/learned_routes.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

/// The host of a network that is asked about.
struct Host {
  net::Address address;
  net::Prefix network;
};

/// Lives no longer than what it was made of. What throws, throws Error{failed}.
class PodLosses {
 public:
  PodLosses(net::Family family, const routing::PolicyRouting& routing,
            const std::vector<routing::KernelRoute>& routes, const nat::Foreign& foreign, RecordedPods& pods);

  /// What pods send there: refused, or led to where it is lost.
  std::vector<Told> of_sent(const PodsAlike& alike, const Host& to);
  /// The answers that come from there, by each uplink that leads there.
  std::vector<Told> of_answers(const PodsAlike& alike, const Host& from);
  /// Both, of a network; none where no host of it can be asked about. Nothing is certain of a network that a
  /// route leads a part of elsewhere.
  std::vector<Told> of_network(const PodsAlike& alike, const net::Prefix& network);
  /// What the node itself sends to a pod goes as answers do, but for rules that ask where these came from.
  std::vector<Told> of_own(const doctor::PodAt& pod);

  /// Whether what pods send there is led anywhere.
  bool is_led(const PodsAlike& alike, const Host& to);
  /// Whether rules told more kinds of packets apart than were asked about.
  bool told_more_apart() const { return told_more_apart_; }

 private:
  routing::Asked sent(const PodsAlike& alike, const Host& to);
  routing::Asked answer(const PodsAlike& alike, const Host& from, const std::string& uplink);
  std::vector<Told> refusals_of(const routing::Asked& asked);
  std::vector<Told> of_answers_by(const std::string& uplink, const PodsAlike& alike, const Host& from);

  net::Family family_;
  const routing::PolicyRouting& routing_;
  const std::vector<routing::KernelRoute>& routes_;
  PodMarks marks_;
  RecordedPods& pods_;
  bool told_more_apart_ = false;
};

}  // namespace ipmasq::plugin
