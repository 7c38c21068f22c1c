#include "routing/masquerade_source.hpp"

#include <doctest/doctest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "texts.hpp"

namespace ipmasq::routing {

TEST_CASE("of IPv4 the first primary address of the next hop's network, else the first") {
  const auto candidate = [](const std::string& text, std::uint32_t flags = 0,
                            unsigned char scope = RT_SCOPE_UNIVERSE) {
    const auto address = test::interface_address(text);
    return CandidateAddress{address.address, address.network(), flags, scope};
  };
  const auto chosen = [](const std::vector<CandidateAddress>& candidates, const std::string& next_hop) {
    const auto address = masquerade_source_of(candidates, test::address(next_hop));
    return address ? net::to_text(*address) : "none";
  };
  const std::vector addresses{candidate("10.0.0.9/24", 0, RT_SCOPE_LINK), candidate("192.0.2.1/24"),
                              candidate("198.18.0.1/24"), candidate("198.18.0.7/24", IFA_F_SECONDARY)};
  CHECK(chosen(addresses, "192.0.2.254") == "192.0.2.1");
  CHECK(chosen(addresses, "198.18.0.254") == "198.18.0.1");
  CHECK(chosen(addresses, "10.0.0.254") == "192.0.2.1");
  CHECK(chosen(addresses, "203.0.113.9") == "192.0.2.1");
  CHECK(chosen({}, "203.0.113.9") == "none");
  CHECK(chosen({candidate("198.18.0.7/24", IFA_F_SECONDARY)}, "198.18.0.254") == "none");
  // Of a link between two, the network is the peer's.
  CHECK(chosen({candidate("192.0.2.1/24"),
                {test::address("198.18.0.1"), test::prefix("203.0.113.9/32"), 0, RT_SCOPE_UNIVERSE}},
               "203.0.113.9") == "198.18.0.1");
}

}  // namespace ipmasq::routing
