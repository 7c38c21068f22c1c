#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <span>
#include <utility>

#include "routing/ipsec.hpp"
#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

constexpr std::array<std::pair<IpsecHook, const char*>, 2> hooks{
    {{IpsecHook::forward, "fwd"}, {IpsecHook::out, "out"}}};

std::string name_of(IpsecHook hook) {
  return hook == IpsecHook::forward ? hooks[0].second : hooks[1].second;
}

net::Address address_in(const xfrm_address_t& bytes, net::Family family) {
  net::Address address{family, {}};
  std::memcpy(address.bytes.data(), &bytes, net::bits(family) / 8);
  return address;
}

std::optional<IpsecHook> hook_of(std::uint8_t direction) {
  if (direction == XFRM_POLICY_FWD) return IpsecHook::forward;
  if (direction == XFRM_POLICY_OUT) return IpsecHook::out;
  return std::nullopt;  // what is for this node itself, and what sockets have of their own
}

int number_of(net::Family family) {
  return family == net::Family::ipv4 ? AF_INET : AF_INET6;
}

std::string hexadecimal(std::uint32_t number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", number);  // NOLINT(cert-err33-c): it fits
  return text.data();
}

std::string protocol_text(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_ESP:
      return "esp";
    case IPPROTO_AH:
      return "ah";
    case IPPROTO_COMP:
      return "comp";
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    default:
      return std::to_string(protocol);
  }
}

std::string mode_text(std::uint8_t mode) {
  constexpr std::array<const char*, 5> names{"transport", "tunnel", "ro", "in_trigger", "beet"};
  return mode < names.size() ? names.at(mode) : std::to_string(mode);
}

// ---- a policy

class PolicyMessage {
 public:
  PolicyMessage(const nlmsghdr& message, net::Family family) : message_(message), family_(family) {
    std::memcpy(&info_, nlmsg_data(&message), sizeof info_);
    const auto mark = attribute(XFRMA_MARK);
    if (mark.size() >= sizeof mark_) std::memcpy(&mark_, mark.data(), sizeof mark_);
    const auto type = attribute(XFRMA_POLICY_TYPE);
    is_sub_ = !type.empty() && type.front() == XFRM_POLICY_TYPE_SUB;
  }

  // Of a policy of xfrm interfaces (if_id) no other packet is asked.
  std::optional<IpsecPolicy> policy() const {
    const auto hook = hook_of(info_.dir);
    const bool is_of_interface = number_in(attribute(XFRMA_IF_ID)) != 0;
    if (!hook || is_of_interface || info_.sel.family != number_of(family_)) return std::nullopt;
    IpsecPolicy policy{
        .hook = *hook,
        .priority = info_.priority,
        .is_sub = is_sub_,
        .source = net::network_of(address_in(info_.sel.saddr, family_), info_.sel.prefixlen_s),
        .destination = net::network_of(address_in(info_.sel.daddr, family_), info_.sel.prefixlen_d),
        .asks_for_kind = info_.sel.proto != 0 || info_.sel.sport_mask != 0 || info_.sel.dport_mask != 0 ||
                         info_.sel.ifindex != 0 || mark_.m != 0,
        .blocks = info_.action == XFRM_POLICY_BLOCK,
        .templates = templates()};
    policy.text = text_of(policy);
    policy.removal = "ip xfrm policy delete dir " + name_of(*hook) + " index " + std::to_string(info_.index) +
                     (is_sub_ ? " ptype sub" : "") + mark_text();
    return policy;
  }

 private:
  std::span<const std::uint8_t> attribute(int type) const { return bytes_in(message_, sizeof info_, type); }

  std::vector<IpsecTemplate> templates() const {
    std::vector<IpsecTemplate> found;
    const auto bytes = attribute(XFRMA_TMPL);
    xfrm_user_tmpl each{};
    for (std::size_t at = 0; at + sizeof each <= bytes.size(); at += sizeof each) {
      std::memcpy(&each, bytes.subspan(at).data(), sizeof each);
      const auto family = each.family == AF_INET6 ? net::Family::ipv6 : net::Family::ipv4;
      // Of no tunnel, the ends are the packets' own.
      const bool has_ends = each.mode == XFRM_MODE_TUNNEL || each.mode == XFRM_MODE_BEET;
      const net::Address any{family, {}};
      found.push_back({.source = has_ends ? address_in(each.saddr, family) : any,
                       .destination = has_ends ? address_in(each.id.daddr, family) : any,
                       .protocol = each.id.proto,
                       .mode = each.mode,
                       .request = each.reqid,
                       .spi = ntohl(each.id.spi),
                       .is_optional = each.optional != 0});
    }
    return found;
  }

  std::string mark_text() const {
    return mark_.m == 0 ? "" : " mark " + hexadecimal(mark_.v) + " mask " + hexadecimal(mark_.m);
  }

  std::string text_of(const IpsecPolicy& policy) const {
    const auto port = [](const char* name, std::uint16_t number, std::uint16_t mask) {
      return mask == 0 ? std::string() : std::string(name) + std::to_string(ntohs(number));
    };
    auto text = "ip xfrm policy: src " + net::to_text(policy.source) + " dst " +
                net::to_text(policy.destination) +
                (info_.sel.proto == 0 ? "" : " proto " + protocol_text(info_.sel.proto)) +
                port(" sport ", info_.sel.sport, info_.sel.sport_mask) +
                port(" dport ", info_.sel.dport, info_.sel.dport_mask) +
                (info_.sel.ifindex == 0 ? "" : " dev number " + std::to_string(info_.sel.ifindex)) + " dir " +
                name_of(policy.hook) + mark_text() + (policy.blocks ? " action block" : "");
    for (const auto& each : policy.templates) {
      text += " tmpl src " + net::to_text(each.source) + " dst " + net::to_text(each.destination) +
              " proto " + protocol_text(each.protocol) + " mode " + mode_text(each.mode);
    }
    return text;
  }

  const nlmsghdr& message_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  net::Family family_;
  xfrm_userpolicy_info info_{};
  xfrm_mark mark_{};
  bool is_sub_ = false;
};

// The kernel tells the one that was made last first, and asks the one first that was made first, of those of
// one priority.
std::vector<IpsecPolicy> read_policies(net::Family family) {
  const xfrm_userpolicy_id every{};
  std::vector<IpsecPolicy> found;
  ask(
      XFRM_MSG_GETPOLICY, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {},
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type != XFRM_MSG_NEWPOLICY) return;
        if (auto policy = PolicyMessage(message, family).policy()) found.push_back(std::move(*policy));
      },
      ipsec_policies);
  std::ranges::reverse(found);
  std::ranges::stable_sort(found, {}, &IpsecPolicy::priority);
  return found;
}

// What is not yet agreed has no SPI.
std::vector<IpsecState> read_states() {
  const xfrm_usersa_id every{};
  std::vector<IpsecState> found;
  ask(
      XFRM_MSG_GETSA, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {},
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type != XFRM_MSG_NEWSA) return;
        xfrm_usersa_info info{};
        std::memcpy(&info, nlmsg_data(&message), sizeof info);
        if (info.id.spi == 0) return;
        const auto ends = info.family == AF_INET6 ? net::Family::ipv6 : net::Family::ipv4;
        found.push_back({.source = address_in(info.saddr, ends),
                         .destination = address_in(info.id.daddr, ends),
                         .protocol = info.id.proto,
                         .mode = info.mode,
                         .request = info.reqid,
                         .spi = ntohl(info.id.spi)});
      },
      ipsec_policies);
  return found;
}

// Since Linux 5.15 what no policy is for can be blocked.
std::vector<IpsecPolicy> read_defaults(net::Family family) {
  xfrm_userpolicy_default defaults{};
  ask(
      XFRM_MSG_GETDEFAULT, 0, std::as_bytes(std::span(&defaults, 1)), {},
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type == XFRM_MSG_GETDEFAULT)
          std::memcpy(&defaults, nlmsg_data(&message), sizeof defaults);
      },
      ipsec_policies);
  const auto all = net::network_of({family, {}}, 0);
  std::vector<IpsecPolicy> found;
  for (const auto& [hook, name] : hooks) {
    const auto action = hook == IpsecHook::forward ? defaults.fwd : defaults.out;
    if (action != XFRM_USERPOLICY_BLOCK) continue;
    found.push_back({.hook = hook,
                     .source = all,
                     .destination = all,
                     .blocks = true,
                     .text = "ip xfrm policy getdefault: " + std::string(name) + ": block",
                     .removal = "ip xfrm policy setdefault " + std::string(name) + " accept"});
  }
  return found;
}

}  // namespace

Ipsec read_ipsec(net::Family family) {
  Ipsec ipsec{.policies = read_policies(family)};
  for (auto& each : read_defaults(family)) ipsec.policies.push_back(std::move(each));
  if (!ipsec.policies.empty()) ipsec.states = read_states();
  return ipsec;
}

}  // namespace ipmasq::routing
