#include <doctest/doctest.h>

#include "config/duration.hpp"
#include "config/flannel.hpp"
#include "config/mark.hpp"
#include "config/port_range.hpp"
#include "texts.hpp"

namespace ipmasq::config {

using namespace std::chrono_literals;

TEST_CASE("durations are Go's") {
  CHECK(parse_duration("0") == 0ns);
  CHECK(parse_duration("60s") == 60s);
  CHECK(parse_duration("1m30s") == 90s);
  CHECK(parse_duration("1.5h") == 90min);
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("2\u00b5s3us4ns") == 5004ns);
  CHECK(parse_duration(".5s") == 500ms);
  CHECK(parse_duration("876000h") == longest_duration);
  CHECK(std::chrono::steady_clock::now() + longest_duration > std::chrono::steady_clock::now());
  CHECK(std::chrono::system_clock::now() + longest_duration > std::chrono::system_clock::now());
  for (const auto* const text : {"", "5", "s", "1x", "1m-30s", "-1s", "1 s", "1..5s", "876001h", "2562047h",
                                 "2562047h47m16.854775807s", "99999999999999999999h", "1e3s", "."}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("port ranges") {
  const auto ranges = parse_port_ranges("1024-29999,32768-65535,80");
  REQUIRE(ranges);
  CHECK(*ranges == std::vector<PortRange>{{1024, 29999}, {32768, 65535}, {80, 80}});
  CHECK(to_text(ranges->front()) == "1024-29999");
  CHECK(to_text(ranges->back()) == "80");
  CHECK(ranges->front().size() == 28976);
  for (const auto* const text :
       {"", "0", "0-5", "5-4", "65536", "1-2,", ",1", "1-2,2-3", "1 - 2", "a", "1-2-3", "-5"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_port_ranges(text));
  }
}

TEST_CASE("marks print as iptables prints them") {
  CHECK(to_text(parse_mark("0x4000/0x4000").value()) == "0x4000/0x4000");
  CHECK(to_text(parse_mark("16384/0x4000").value()) == "0x4000/0x4000");
  CHECK(to_text(parse_mark("0x1").value()) == "0x1");
  for (const auto* const text :
       {"", "0x", "0x1/", "/0x1", "1/0", "0x3/0x1", "0/0x1", "0x100000000", "-1", "0xg", "1/2/3"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_mark(text));
  }
}

TEST_CASE("flannel's networks, both families, each a list") {
  constexpr auto text =
      "FLANNEL_NETWORK=10.244.0.0/16,10.250.0.0/16\n"
      "FLANNEL_SUBNET=10.244.1.1/24\n"
      "FLANNEL_IPV6_NETWORK=fd00:10:244::/56\n"
      "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
  CHECK(parse_cluster_networks(text, "x") == std::vector{test::prefix("10.244.0.0/16"),
                                                         test::prefix("10.250.0.0/16"),
                                                         test::prefix("fd00:10:244::/56")});
  CHECK(test::error_of([] { parse_cluster_networks("\nFLANNEL_NETWORK=10.244\n", "/run/x"); }) ==
        "7: /run/x, line 2: FLANNEL_NETWORK holds \"10.244\": expected a network such as 10.244.0.0/16");
  CHECK(test::error_of([] { parse_cluster_networks("FLANNEL_NETWORK=10.2\x1b[2J\n", "/run/x"); }) ==
        "7: /run/x, line 1: FLANNEL_NETWORK holds \"10.2\\u001b[2J\": expected a network such as "
        "10.244.0.0/16");
  // As somebody wrote it by hand, as it was cut short, and as nobody meant it.
  CHECK(parse_cluster_networks("FLANNEL_NETWORK= 10.244.0.0/16, fd00::/48 \r\n", "/run/x") ==
        std::vector{test::prefix("10.244.0.0/16"), test::prefix("fd00::/48")});
  CHECK(
      test::error_of([] { parse_cluster_networks("FLANNEL_NETWORK=10.244.0.0/1", "/run/x"); }) ==
      "7: /run/x, line 1: FLANNEL_NETWORK holds \"10.244.0.0/1\": expected a network such as 10.244.0.0/16");
  CHECK(test::error_of([] { parse_cluster_networks("FLANNEL_NETWORK=10.244.0.0/8", "/run/x"); }) ==
        "7: /run/x, line 1: FLANNEL_NETWORK holds \"10.244.0.0/8\": expected 10.0.0.0/8, if that is what is "
        "meant");
  for (const auto* const cut : {"", "FLANNEL_NETW", "FLANNEL_NETWORK=\n", "FLANNEL_MTU=1450\n"}) {
    CHECK(test::error_of([cut] { parse_cluster_networks(cut, "/run/x"); }) ==
          "7: /run/x names no network: expected lines such as FLANNEL_NETWORK=10.244.0.0/16");
  }
  CHECK(read_cluster_networks("/nonexistent/subnet.env").empty());
}

}  // namespace ipmasq::config
