// Which of an interface's addresses the kernel gives to what it masquerades: not always the one that a
// route's `src` names. net/netfilter/nf_nat_masquerade.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

/// An address of an interface, with what the choice asks of it (ifaddrmsg of linux/if_addr.h).
struct CandidateAddress {
  net::Address address = {};
  net::Prefix network = {};  ///< of its peer where it has one
  std::uint32_t flags = 0;   ///< IFA_F_*
  unsigned char scope = 0;   ///< RT_SCOPE_*

  bool operator==(const CandidateAddress&) const = default;
};

/// Of the candidates of IPv4, in the kernel's order, the one for what goes on to `next_hop`
/// (inet_select_addr): the first of its network, else the first. nullopt where the interface has none that
/// fits: the kernel takes another interface's.
std::optional<net::Address> masquerade_source_of(const std::vector<CandidateAddress>& candidates,
                                                 const net::Address& next_hop);

/// What `packet`, which is to be forwarded, is masqueraded as where it leaves by `interface`. nullopt where
/// that is not known. Throws Error{failed}.
std::optional<net::Address> masquerade_source(const Packet& packet, const std::string& interface);

}  // namespace ipmasq::routing
