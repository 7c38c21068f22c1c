#include "nat/intervals.hpp"

#include <doctest/doctest.h>

#include <random>

#include "net/range.hpp"
#include "texts.hpp"

namespace ipmasq::nat {

namespace {

using Prefixes = std::vector<std::pair<net::Prefix, std::string>>;

std::string text(const Prefixes& prefixes) {
  std::string all;
  for (const auto& interval : flatten(prefixes)) {
    all += (all.empty() ? "" : " ") + net::to_text(interval.range) + "=" + interval.value;
  }
  return all;
}

Prefixes from(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Prefixes prefixes;
  for (const auto& [network, value] : pairs) prefixes.emplace_back(test::prefix(network), value);
  return prefixes;
}

}  // namespace

TEST_CASE("ranges: their ends, what comes after and before, and how they print") {
  CHECK(net::next(test::address("10.0.0.255")) == test::address("10.0.1.0"));
  CHECK(net::previous(test::address("10.0.1.0")) == test::address("10.0.0.255"));
  CHECK(net::next(test::address("fd00::ffff")) == test::address("fd00::1:0"));
  CHECK_FALSE(net::next(test::address("255.255.255.255")));
  CHECK_FALSE(net::previous(test::address("::")));
  const auto range = net::range_of(test::prefix("10.244.1.0/24"));
  CHECK(range == net::Range{test::address("10.244.1.0"), test::address("10.244.1.255")});
  CHECK(net::to_text(range) == "10.244.1.0/24");
  CHECK(net::to_text(net::range_of(test::prefix("0.0.0.0/0"))) == "0.0.0.0/0");
  CHECK(net::to_text(net::range_of(test::prefix("fd00::5/128"))) == "fd00::5");
  CHECK(net::to_text(net::Range{test::address("10.0.0.1"), test::address("10.0.0.2")}) ==
        "10.0.0.1-10.0.0.2");
}

TEST_CASE("the longest prefix decides, of equal ones the first, and neighbours join") {
  CHECK(text({}).empty());
  CHECK(text(from({{"10.0.0.0/8", "a"}})) == "10.0.0.0/8=a");
  CHECK(text(from({{"10.0.0.0/8", "a"}, {"10.1.2.0/24", "b"}})) ==
        "10.0.0.0-10.1.1.255=a 10.1.2.0/24=b 10.1.3.0-10.255.255.255=a");
  CHECK(text(from({{"10.0.0.0/8", "a"}, {"10.0.0.0/9", "b"}, {"10.128.0.0/9", "c"}})) ==
        "10.0.0.0/9=b 10.128.0.0/9=c");
  CHECK(text(from({{"10.1.0.0/16", "a"}, {"10.1.0.0/16", "b"}})) == "10.1.0.0/16=a");
  CHECK(text(from({{"10.0.0.0/9", "a"}, {"10.128.0.0/9", "a"}})) == "10.0.0.0/8=a");
  CHECK(text(from({{"10.0.0.0/8", "a"}, {"10.244.0.0/16", "a"}})) == "10.0.0.0/8=a");
  CHECK(text(from({{"0.0.0.0/0", "a"}, {"255.255.255.255/32", "b"}, {"0.0.0.0/32", "b"}})) ==
        "0.0.0.0=b 0.0.0.1-255.255.255.254=a 255.255.255.255=b");
  CHECK(text(from({{"::/0", "a"}, {"ff00::/8", "b"}})) ==
        "::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff=a ff00::/8=b");
}

TEST_CASE("every address is decided as by the list") {
  std::mt19937 random(3);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same lists each time
  const auto below = [&random](unsigned end) { return static_cast<unsigned>(random() % end); };
  for (int round = 0; round < 500; ++round) {
    Prefixes prefixes;
    for (auto count = below(12); count > 0; --count) {
      net::Address address = test::address("10.0.0.0");
      address.bytes[3] = static_cast<std::uint8_t>(below(256));
      prefixes.emplace_back(net::network_of(address, 24 + below(9)), std::string(1, 'a' + char(below(3))));
    }
    const auto intervals = flatten(prefixes);
    for (unsigned last = 0; last < 256; ++last) {
      net::Address address = test::address("10.0.0.0");
      address.bytes[3] = static_cast<std::uint8_t>(last);
      std::string expected;
      unsigned longest = 0;
      for (const auto& [prefix, value] : prefixes) {
        if (prefix.contains(address) && prefix.length > longest) {
          longest = prefix.length;
          expected = value;
        }
      }
      const auto found = std::ranges::find_if(intervals, [&](const auto& each) {
        return each.range.first <= address && address <= each.range.last;
      });
      REQUIRE((found == intervals.end() ? "" : found->value) == expected);
    }
  }
}

}  // namespace ipmasq::nat
