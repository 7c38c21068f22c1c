#include "net/address.hpp"

#include <doctest/doctest.h>

#include "texts.hpp"

namespace ipmasq::net {

using test::address;
using test::prefix;

TEST_CASE("addresses print as they were written") {
  for (const auto* const text :
       {"10.244.1.5", "0.0.0.0", "255.255.255.255", "::", "::1", "fd00:10:244::5", "2001:db8::7"}) {
    CHECK(to_text(address(text)) == text);
  }
  CHECK(to_text(address("FD00:0:0::5")) == "fd00::5");
}

TEST_CASE("what is no address is refused") {
  using std::string_view_literals::operator""sv;
  for (const auto text : {""sv, "10.1"sv, "10.1.2.3.4"sv, "10.1.2.256"sv, "010.1.2.3"sv, "fe80::1%eth0"sv,
                          "fd00::x"sv, "10.1.2.3 "sv, "10.1.2.3\0"sv}) {
    CAPTURE(text);
    CHECK_FALSE(parse_address(text));
  }
}

TEST_CASE("interface addresses carry the length of their network") {
  const auto parsed = parse_interface_address("10.244.1.5/24");
  REQUIRE(parsed);
  CHECK(to_text(*parsed) == "10.244.1.5/24");
  CHECK(to_text(parsed->network()) == "10.244.1.0/24");
  for (const auto* const text : {"10.1.2.3", "10.1.2.3/", "10.1.2.3/33", "10.1.2.3/08", "10.1.2.3/-1",
                                 "10.1.2.3/ 8", "fd00::/129", "/8"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_interface_address(text));
  }
}

TEST_CASE("a network has no bits behind its length") {
  CHECK(to_text(network_of(address("10.255.255.255"), 9)) == "10.128.0.0/9");
  CHECK(to_text(network_of(address("10.1.2.3"), 32)) == "10.1.2.3/32");
  CHECK(to_text(network_of(address("10.1.2.3"), 0)) == "0.0.0.0/0");
  CHECK(to_text(network_of(address("fdff:ffff::1"), 12)) == "fdf0::/12");
}

TEST_CASE("a network holds its own addresses and no others") {
  CHECK(prefix("10.244.0.0/16").contains(address("10.244.255.1")));
  CHECK_FALSE(prefix("10.244.0.0/16").contains(address("10.245.0.0")));
  CHECK_FALSE(prefix("0.0.0.0/0").contains(address("::")));
  CHECK(prefix("10.0.0.0/8").contains(prefix("10.244.0.0/16")));
  CHECK_FALSE(prefix("10.244.0.0/16").contains(prefix("10.0.0.0/8")));
}

TEST_CASE("addresses of a special kind are known") {
  CHECK(address("127.3.2.1").is_loopback());
  CHECK(address("::1").is_loopback());
  CHECK_FALSE(address("::2").is_loopback());
  CHECK(address("239.1.1.1").is_multicast());
  CHECK(address("ff02::1").is_multicast());
  CHECK(address("169.254.1.1").is_link_local());
  CHECK(address("febf::1").is_link_local());
  CHECK_FALSE(address("fec0::1").is_link_local());
  CHECK(address("::").is_unspecified());
  CHECK_FALSE(address("::1").is_unspecified());
}

}  // namespace ipmasq::net
