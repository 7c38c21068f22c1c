#include "netfilter/iptables_error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "netfilter/iptables_check.hpp"

namespace ipmasq::netfilter {

namespace {

// What the kernel's check of a table, and libiptc's of an edit, end with where the rules are at fault.
bool is_of_the_rules(int number) {
  constexpr std::array of_the_rules{EINVAL, ENOENT, EPROTONOSUPPORT, EOPNOTSUPP, ELOOP, E2BIG,
                                    EEXIST, EMLINK, ENOTEMPTY,       ERANGE,     EDOM};
  return std::ranges::find(of_the_rules, number) != of_the_rules.end();
}

template <typename Tables>
std::string name_of(const char* table) {
  return std::string("the ") + table + " table of " + Tables::program;
}

}  // namespace

template <typename Tables>
void throw_table_error(int number, const char* table) {
  const auto kind = kind_of(number);
  const auto reason = " (" + text_of(number) + ")";
  if (kind == Kind::absent) {
    throw Error(
        kind, name_of<Tables>(table) + " is not available" + reason,
        std::string("load the kernel modules ") + Tables::modules + ", or set \"backend\": \"nftables\"");
  }
  const auto* const what_to_do =
      kind == Kind::forbidden
          ? "run as root, or with the capabilities NET_ADMIN and NET_RAW in the node's network namespace"
          : "";
  throw Error(kind, name_of<Tables>(table) + " cannot be read" + reason, what_to_do);
}

template <typename Tables>
void throw_change_error(int number, const std::string& reason, const nat::iptables::Chains& wanted) {
  if (!is_of_the_rules(number)) {
    throw Error(kind_of(number), name_of<Tables>(nat_table) + " cannot be changed: " + reason);
  }
  check_extensions<Tables>(wanted);
  const auto* const what_to_do =
      number == EMLINK
          ? "another rule of that table jumps to a chain of ip-masq: iptables-legacy-save shows it"
      : number == EINVAL ? "the kernel's log (dmesg) says which match or target it does not take"
                         : "";
  throw Error(Kind::refused, "the kernel refused our rules in " + name_of<Tables>(nat_table) + ": " + reason,
              what_to_do);
}

template void throw_table_error<Ipv4Tables>(int, const char*);
template void throw_table_error<Ipv6Tables>(int, const char*);
template void throw_change_error<Ipv4Tables>(int, const std::string&, const nat::iptables::Chains&);
template void throw_change_error<Ipv6Tables>(int, const std::string&, const nat::iptables::Chains&);

}  // namespace ipmasq::netfilter
