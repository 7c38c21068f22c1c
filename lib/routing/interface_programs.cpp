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
#include <span>
#include <string>
#include <utility>
#include <vector>

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

struct Device {
  std::string name;
  bool is_ifb = false;
  std::string xdp = {};  // how it is attached; empty where none is
};

// As ip-link(8) calls it, which takes away only what it is told so.
std::string attached_as(Bytes attached) {
  switch (attached.empty() ? std::uint8_t{XDP_ATTACHED_NONE} : attached[0]) {
    case XDP_ATTACHED_NONE:
      return "";
    case XDP_ATTACHED_SKB:
      return "xdpgeneric";
    case XDP_ATTACHED_HW:
      return "xdpoffload";
    default:
      return "xdp";
  }
}

std::map<int, Device> devices() {
  std::map<int, Device> found;
  const ifinfomsg every{};
  ask(RTM_GETLINK, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&found](const nlmsghdr& message) {
    const auto attribute = [&message](int type) { return bytes_in(message, sizeof(ifinfomsg), type); };
    found[static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_index] = {
        text_in(attribute(IFLA_IFNAME)), text_in(nested(attribute(IFLA_LINKINFO), IFLA_INFO_KIND)) == "ifb",
        attached_as(nested(attribute(IFLA_XDP), IFLA_XDP_ATTACHED))};
  });
  return found;
}

// Where each has filters, for what comes in, or goes out, whatever else queues it: what is there for the one
// alone answers for both.
std::map<int, std::vector<At>> places_of_filters() {
  std::map<int, std::vector<At>> found;
  const tcmsg every{};
  ask(RTM_GETQDISC, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&found](const nlmsghdr& message) {
    const auto kind = text_in(bytes_in(message, sizeof(tcmsg), TCA_KIND));
    const auto interface = static_cast<const tcmsg*>(nlmsg_data(&message))->tcm_ifindex;
    if (kind == "clsact") found[interface] = {At::ingress, At::egress};
    if (kind == "ingress") found[interface] = {At::ingress};
  });
  return found;
}

// The actions of a filter; nullopt of a kind whose own program may act.
std::optional<Bytes> actions_of(const std::string& kind, Bytes options) {
  if (kind == "u32") return nested(options, TCA_U32_ACT);
  if (kind == "flower") return nested(options, TCA_FLOWER_ACT);
  if (kind == "matchall") return nested(options, TCA_MATCHALL_ACT);
  return std::nullopt;
}

// Whether an action leaves packets as they are: a copy for somebody else, or the way through a device that
// hands on what it gets, as the bandwidth plugin has it.
bool lets_pass(Bytes action, const std::map<int, Device>& devices) {
  const auto parameters = nested(nested(action, TCA_ACT_OPTIONS), TCA_MIRRED_PARMS);
  tc_mirred mirred{};
  if (text_in(nested(action, TCA_ACT_KIND)) != "mirred" || parameters.size() < sizeof mirred) return false;
  std::memcpy(&mirred, parameters.data(), sizeof mirred);
  if (mirred.eaction == TCA_EGRESS_MIRROR || mirred.eaction == TCA_INGRESS_MIRROR) return true;
  const auto to = devices.find(static_cast<int>(mirred.ifindex));
  return mirred.eaction == TCA_EGRESS_REDIR && to != devices.end() && to->second.is_ifb;
}

// Also where it has no actions: it only sorts packets into classes.
bool is_harmless(const std::string& kind, Bytes options, const std::map<int, Device>& devices) {
  const auto actions = actions_of(kind, options);
  if (!actions) return false;
  for (int order = 1; order <= TCA_ACT_MAX_PRIO; ++order) {
    const auto action = nested(*actions, order);
    if (!action.empty() && !lets_pass(action, devices)) return false;
  }
  return true;
}

class Filters {
 public:
  explicit Filters(const std::map<int, Device>& devices) : devices_(devices) {}

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
    if (is_harmless(kind, options, devices_)) return;
    const auto name = kind == "bpf" ? text_in(nested(options, TCA_BPF_NAME)) : "";
    if (!name.empty()) kind += " " + name;
    InterfaceProgram program{devices_.at(interface).name, at, TC_H_MAJ(header->tcm_info) >> 16U,
                             std::move(kind)};
    if (found_.empty() || found_.back() != program) found_.push_back(std::move(program));
  }

  const std::map<int, Device>& devices_;
  std::vector<InterfaceProgram> found_;
};

}  // namespace

std::vector<InterfaceProgram> interface_programs() {
  const auto all = devices();
  Filters filters(all);
  for (const auto& [interface, places] : places_of_filters()) {
    if (!all.contains(interface)) continue;
    for (const auto at : places) filters.read(interface, at);
  }
  auto found = filters.take_all();
  for (const auto& [index, device] : all) {
    if (!device.xdp.empty()) found.push_back({.interface = device.name, .at = At::xdp, .kind = device.xdp});
  }
  return found;
}

}  // namespace ipmasq::routing
