#include "doctor/ipsec_findings.hpp"

#include <algorithm>
#include <utility>

#include "doctor/flows.hpp"

namespace ipmasq::doctor {

namespace {

std::string text_of(const UnderIpsec& each) {
  const auto pods = doctor::text_of(each.pods) + (each.are_masqueraded ? " as this node" : "");
  const auto other =
      each.other.length == 0 ? std::string("where no narrower policy is for") : net::to_text(each.other);
  const auto packets =
      each.are_answers
          ? "answers" + (each.other.length == 0 ? "" : " from " + net::to_text(each.other)) + " to " + pods
          : "from " + pods + " to " + other;
  return packets + ": " + (each.does == UnderIpsec::Does::may_drop ? "some of them: " : "") + each.by;
}

}  // namespace

void find_ipsec_findings(const Facts& facts, Findings& findings) {
  Finding dropped{"ipsec-drops-pods",
                  {},
                  "policies of IPsec drop what pods send there, or the answers to it",
                  {"# nothing is wrong where that is meant; else have its owner (strongSwan, libreswan, a "
                   "mesh) bring the tunnel up or leave pods out, or take the policy away (what it would "
                   "encrypt then leaves in the clear):"}};
  auto maybe = dropped;
  maybe.does =
      "policies of IPsec may drop some of what pods send there, or of the answers to it: ports, protocols, "
      "marks, or whether the key daemon agrees on a state, decide";
  maybe.weight = Weight::note;
  Finding transformed{"ipsec-takes-pods",
                      {},
                      "what pods send there leaves this node encrypted, or in a tunnel: hosts on the way do "
                      "not see the pods' addresses, and where it is masqueraded it may leave past the tunnel",
                      {"# nothing is wrong where that is meant; else have its owner leave pods out"},
                      Weight::note};
  for (const auto& each : facts.node.under_ipsec) {
    const bool is_transformed = each.does == UnderIpsec::Does::transforms;
    auto& finding = is_transformed ? transformed : each.does == UnderIpsec::Does::drops ? dropped : maybe;
    finding.where.push_back(text_of(each));
    const auto fix = "# " + each.fix;
    const bool is_new = std::ranges::find(finding.fix, fix) == finding.fix.end();
    if (!is_transformed && is_new) finding.fix.push_back(fix);
  }
  for (auto* const finding : {&dropped, &maybe, &transformed}) {
    if (!finding->where.empty()) findings.push_back(std::move(*finding));
  }
}

}  // namespace ipmasq::doctor
