#include "netfilter/iptables_check.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <variant>

#include "nat/iptables_target.hpp"
#include "netfilter/iptables_bytes.hpp"
#include "netfilter/iptables_matches.hpp"
#include "netfilter/iptables_socket.hpp"
#include "netfilter/iptables_table.hpp"

namespace ipmasq::netfilter {

namespace {

// A match or a target of a rule.
struct Extension {
  int question;  // that asks for it
  std::string_view name;
  std::uint8_t revision;
  std::string_view module;

  auto operator<=>(const Extension&) const = default;
};

template <typename Tables>
std::set<Extension> extensions_of(const nat::iptables::Chains& chains) {
  std::set<Extension> extensions;
  for (const auto& [name, rules] : chains) {
    for (const auto& rule : rules) {
      for (const auto& kind : match_kinds()) {
        if (kind.is_in(rule))
          extensions.insert({Tables::get_match_revision, kind.name, kind.revision, kind.module});
      }
      if (const auto* const nat = std::get_if<nat::SourceNat>(&rule.target)) {
        const auto& kind = nat->to ? Tables::snat : Tables::masquerade;
        extensions.insert({Tables::get_target_revision, kind.name, kind.revision, kind.module});
      }
    }
  }
  return extensions;
}

template <typename Tables>
void check_extension(const TableSocket<Tables>& socket, const Extension& extension) {
  xt_get_revision revision{};
  store_name(revision.name, extension.name);
  revision.revision = extension.revision;
  const int number = socket.ask(extension.question, &revision, sizeof revision);
  if (number == 0) return;
  if (number != ENOENT && number != EPROTONOSUPPORT) throw_table_error<Tables>(number);
  const bool is_match = extension.question == Tables::get_match_revision;
  throw Error(
      Kind::absent,
      std::string("the kernel lacks the ") + Tables::program + (is_match ? " match " : " target ") +
          std::string(extension.name) + ", revision " + std::to_string(extension.revision),
      "load the kernel module " + std::string(extension.module) + ", or set \"backend\": \"nftables\"");
}

template <typename Tables>
void make_elsewhere() {
  std::exception_ptr error;
  std::thread([&error] {
    try {
      if (::unshare(CLONE_NEWNET) == 0) {
        static_cast<void>(TableSocket<Tables>().info());
      } else if (errno != EPERM && errno != EINVAL &&
                 errno != ENOSPC) {  // no right, no namespaces, or no more
        throw_errno("cannot make a network namespace to look for a nat table in");
      }
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
}

template <typename Tables>
void check_table(netfilter::Tables tables) {
  if (tables == netfilter::Tables::may_be_made || has_nat_table<Tables>()) {
    static_cast<void>(TableSocket<Tables>().info());
  } else {
    make_elsewhere<Tables>();
  }
}

template <typename Tables>
void check_family(const nat::Ruleset& wanted, netfilter::Tables tables) {
  check_extensions<Tables>(nat::iptables::target({}, wanted, Tables::family).chains);
  check_table<Tables>(tables);
}

}  // namespace

nat::Ruleset plain_ruleset(net::Family family) {
  nat::NetworkChain chain;
  chain.network = "any";
  chain.family = family;
  nat::Ruleset ruleset;
  ruleset.yield_marks = {{0x4000, 0x4000}};
  ruleset.chains = {chain};
  ruleset.sources = {{{{family, {}}, 8}, "any"}};
  ruleset.networks = {"any"};
  return ruleset;
}

bool has_sources(const nat::Ruleset& wanted, net::Family family) {
  return std::ranges::any_of(
      wanted.sources, [family](const nat::Source& source) { return source.prefix.family() == family; });
}

template <typename Tables>
void check_extensions(const nat::iptables::Chains& chains) {
  const TableSocket<Tables> socket;
  for (const auto& extension : extensions_of<Tables>(chains)) check_extension(socket, extension);
}

void check_iptables(const nat::Ruleset& wanted, Tables tables) {
  if (has_sources(wanted, net::Family::ipv4)) check_family<Ipv4Tables>(wanted, tables);
  if (has_sources(wanted, net::Family::ipv6)) check_family<Ipv6Tables>(wanted, tables);
  if (!wanted.sources.empty()) return;
  try {
    check_family<Ipv4Tables>(plain_ruleset(net::Family::ipv4), tables);
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
    try {
      check_family<Ipv6Tables>(plain_ruleset(net::Family::ipv6), tables);
      return;
    } catch (const Error& other) {
      if (other.kind() != Kind::absent) throw;
    }
    throw;
  }
}

template void check_extensions<Ipv4Tables>(const nat::iptables::Chains&);
template void check_extensions<Ipv6Tables>(const nat::iptables::Chains&);

}  // namespace ipmasq::netfilter
