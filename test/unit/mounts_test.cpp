#include "os/mounts.hpp"

#include <doctest/doctest.h>

namespace ipmasq::os {

TEST_CASE("to which folders the mounts of others come") {
  constexpr auto text =
      "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "22 21 0:5 / /run rw - tmpfs tmpfs rw\n"
      "23 22 0:6 / /run/netns rw master:7 - tmpfs tmpfs rw\n"
      "24 21 0:7 / /with\\040space rw - tmpfs tmpfs rw\n"
      "25 21 0:8 / /twice rw - tmpfs tmpfs rw\n"
      "26 21 0:9 / /twice rw,noexec shared:8 master:9 propagate_from:2 - tmpfs tmpfs rw\n";
  CHECK(receives_mounts(text, "/"));
  CHECK(receives_mounts(text, "/runner"));
  CHECK(receives_mounts(text, "/run/netns"));
  CHECK(receives_mounts(text, "/run/netns/deeper"));
  CHECK(receives_mounts(text, "/twice"));
  CHECK_FALSE(receives_mounts(text, "/run"));
  CHECK_FALSE(receives_mounts(text, "/run/other"));
  CHECK_FALSE(receives_mounts(text, "/with space/deeper"));
  CHECK_FALSE(receives_mounts("", "/"));
  CHECK_FALSE(receives_mounts("\n\\\n1 2\n", "/"));
}

}  // namespace ipmasq::os
