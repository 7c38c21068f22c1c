// What IPsec's policies do to packets that are forwarded: ip-xfrm(8), linux/xfrm.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// What a policy asks for: a state of this kind.
struct IpsecTemplate {
  net::Address source;       ///< of the tunnel; unspecified: any
  net::Address destination;  ///< likewise
  std::uint8_t protocol = 0;
  std::uint8_t mode = 0;
  std::uint32_t request = 0;
  std::uint32_t spi = 0;  ///< 0: any
  bool is_optional = false;

  bool operator==(const IpsecTemplate&) const = default;
};

/// A security association that is agreed.
struct IpsecState {
  net::Address source;
  net::Address destination;
  std::uint8_t protocol = 0;
  std::uint8_t mode = 0;
  std::uint32_t request = 0;
  std::uint32_t spi = 0;

  bool operator==(const IpsecState&) const = default;
};

/// Where forwarded packets are asked about: as they come in, and as they are sent on.
enum class IpsecHook { forward, out };

struct IpsecPolicy {
  IpsecHook hook = IpsecHook::forward;
  std::uint32_t priority = 0;
  bool is_sub = false;  ///< of the list that is asked first; the main one is asked as well
  net::Prefix source;
  net::Prefix destination;
  bool asks_for_kind = false;  ///< for protocols, ports, marks or an interface: it may not hold
  bool blocks = false;
  std::vector<IpsecTemplate> templates = {};
  std::string text = {};     ///< "ip xfrm policy: src 10.244.1.0/24 dst 0.0.0.0/0 dir fwd action block"
  std::string removal = {};  ///< the command that takes it away

  bool operator==(const IpsecPolicy&) const = default;
};

/// Of one family.
struct Ipsec {
  std::vector<IpsecPolicy> policies;  ///< in the order in which they are asked; the default comes last
  std::vector<IpsecState> states = {};
  bool is_negotiated = false;  ///< a key daemon hears what states the kernel wants
};

enum class IpsecFate {
  blocked,
  in_the_clear,  ///< and so dropped: the policy wants what comes in to have come by IPsec
  no_state,      ///< and so dropped
  negotiated,    ///< dropped until the key daemon has agreed on a state
  transformed,   ///< leaves in a tunnel, or encrypted
};

struct IpsecVerdict {
  const IpsecPolicy* policy = nullptr;
  IpsecFate fate = IpsecFate::blocked;
  net::Prefix source;       ///< of the packets that it decides about
  net::Prefix destination;  ///< likewise
  bool is_certain = true;   ///< else it may be some packets alone

  bool operator==(const IpsecVerdict&) const = default;
};

/// What is not let pass as it is, of packets between two networks. `came_in_clear`: pods sent them; else
/// they came from elsewhere, by IPsec where there is a state. Lives no longer than `ipsec`.
std::vector<IpsecVerdict> verdicts(const Ipsec& ipsec, IpsecHook hook, const net::Prefix& source,
                                   const net::Prefix& destination, bool came_in_clear);

/// Policies and states that stand; none where the kernel has no IPsec. `is_negotiated` is for the caller.
/// Throws Error{failed}.
Ipsec read_ipsec(net::Family family);

}  // namespace ipmasq::routing
