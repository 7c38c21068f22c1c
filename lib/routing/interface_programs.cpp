#include "routing/interface_programs.hpp"

#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

using Bytes = std::span<const std::uint8_t>;
using At = InterfaceProgram::At;

// What an attribute of a list holds; empty where there is none of that type.
Bytes nested(Bytes list, int type) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): as netlink lays them out
  const auto* const first = reinterpret_cast<const nlattr*>(list.data());
  const auto* const found = list.empty() ? nullptr : nla_find(first, static_cast<int>(list.size()), type);
  if (found == nullptr) return {};
  return {static_cast<const std::uint8_t*>(nla_data(found)), static_cast<std::size_t>(nla_len(found))};
}

struct Link {
  std::string name;
  bool is_ifb = false;
  bool has_xdp = false;
};

std::map<int, Link> links() {
  std::map<int, Link> found;
  const ifinfomsg every{};
  ask(RTM_GETLINK, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&found](const nlmsghdr& message) {
    const auto attribute = [&message](int type) { return bytes_in(message, sizeof(ifinfomsg), type); };
    const auto attached = nested(attribute(IFLA_XDP), IFLA_XDP_ATTACHED);
    found[static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_index] = {
        text_in(attribute(IFLA_IFNAME)), text_in(nested(attribute(IFLA_LINKINFO), IFLA_INFO_KIND)) == "ifb",
        !attached.empty() && attached[0] != XDP_ATTACHED_NONE};
  });
  return found;
}

// That have filters for what comes in, or goes out, whatever else queues it.
std::set<int> interfaces_with_filters() {
  std::set<int> found;
  const tcmsg every{};
  ask(RTM_GETQDISC, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&found](const nlmsghdr& message) {
    const auto kind = text_in(bytes_in(message, sizeof(tcmsg), TCA_KIND));
    if (kind == "clsact" || kind == "ingress")
      found.insert(static_cast<const tcmsg*>(nlmsg_data(&message))->tcm_ifindex);
  });
  return found;
}

// Where a u32 filter's only action leads what it matches.
std::optional<int> redirected_to(Bytes options) {
  const auto actions = nested(options, TCA_U32_ACT);
  const auto first = nested(actions, 1);
  const auto parameters = nested(nested(first, TCA_ACT_OPTIONS), TCA_MIRRED_PARMS);
  tc_mirred mirred{};
  if (text_in(nested(first, TCA_ACT_KIND)) != "mirred" || !nested(actions, 2).empty() ||
      parameters.size() < sizeof mirred)
    return std::nullopt;
  std::memcpy(&mirred, parameters.data(), sizeof mirred);
  return mirred.eaction == TCA_EGRESS_REDIR ? std::optional(static_cast<int>(mirred.ifindex)) : std::nullopt;
}

class Filters {
 public:
  explicit Filters(const std::map<int, Link>& links) : links_(links) {}

  void read(int interface, At at) {
    tcmsg question{};
    question.tcm_ifindex = interface;
    question.tcm_parent = TC_H_MAKE(TC_H_CLSACT, at == At::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    ask(RTM_GETTFILTER, NLM_F_DUMP, std::as_bytes(std::span(&question, 1)), {},
        [&](const nlmsghdr& message) { take(message, interface, at); });
  }

  std::vector<InterfaceProgram> take_all() { return std::move(found_); }

 private:
  // A filter of u32 is told in several parts, of which those without options do nothing.
  void take(const nlmsghdr& message, int interface, At at) {
    const auto* const header = static_cast<const tcmsg*>(nlmsg_data(&message));
    const auto options = bytes_in(message, sizeof(tcmsg), TCA_OPTIONS);
    auto kind = text_in(bytes_in(message, sizeof(tcmsg), TCA_KIND));
    const bool is_part = kind == "u32" && nested(options, TCA_U32_SEL).empty();
    if (options.empty() || is_part) return;
    if (kind == "u32") {
      const auto to = redirected_to(options);
      const auto link = to ? links_.find(*to) : links_.end();
      if (link != links_.end() && link->second.is_ifb) return;
    }
    const auto name = kind == "bpf" ? text_in(nested(options, TCA_BPF_NAME)) : "";
    if (!name.empty()) kind += " " + name;
    InterfaceProgram program{links_.at(interface).name, at, TC_H_MAJ(header->tcm_info) >> 16U,
                             std::move(kind)};
    if (found_.empty() || found_.back() != program) found_.push_back(std::move(program));
  }

  const std::map<int, Link>& links_;
  std::vector<InterfaceProgram> found_;
};

}  // namespace

std::vector<InterfaceProgram> interface_programs() {
  const auto all = links();
  Filters filters(all);
  for (const auto interface : interfaces_with_filters()) {
    if (!all.contains(interface)) continue;
    for (const auto at : {At::ingress, At::egress}) filters.read(interface, at);
  }
  auto found = filters.take_all();
  for (const auto& [index, link] : all) {
    if (link.has_xdp) found.push_back({link.name, At::xdp});
  }
  return found;
}

}  // namespace ipmasq::routing
