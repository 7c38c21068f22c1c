// Everything that ip-masq reads from somebody else, given whatever libFuzzer thinks of: it is either taken or
// refused with a Error. The first byte says which reader is meant.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>

#include "cni/cache.hpp"
#include "cni/environment.hpp"
#include "cni/request.hpp"
#include "cni/result.hpp"
#include "config/agent_file.hpp"
#include "config/duration.hpp"
#include "config/flannel.hpp"
#include "config/known_keys.hpp"
#include "config/netconf.hpp"
#include "conflist/conflist.hpp"
#include "conflist/entry.hpp"
#include "error/error.hpp"
#include "http/server.hpp"
#include "nat/network.hpp"
#include "nat/ruleset.hpp"
#include "runtime/environment_file.hpp"
#include "runtime/toml.hpp"
#include "runtime/words.hpp"

namespace {

using namespace ipmasq;

void expect(bool holds) {
  if (!holds) std::abort();
}

// A whole ADD up to the ruleset, and what GC reads.
void read_call(const std::string& text) {
  std::istringstream input(text);
  const auto request = cni::make_request({.command = cni::Command::add}, cni::read_netconf(input));
  static_cast<void>(cni::result_json(cni::prev_result(request.netconf), request.cni_version));
  const auto netconf = config::parse_netconf(config::known_keys(request.netconf));
  const auto subnets =
      config::pod_subnets_of(netconf, cni::addresses(cni::prev_result(request.netconf), "eth0"));
  static_cast<void>(nat::wanted_ruleset({{.name = request.network,
                                          .netconf = std::make_shared<const config::Netconf>(netconf),
                                          .pod_subnets = {subnets.begin(), subnets.end()}}}));
  static_cast<void>(cni::valid_attachments(request.netconf));
}

void read_agent_file(const std::string& text) {
  const auto file = config::parse_agent_file(text, "/config", "node-1");
  if (file) static_cast<void>(config::parse_netconf(cni::Json::object(), &*file));
}

void read_environment(const std::string& text) {
  const std::map<std::string, std::string> variables{{"CNI_COMMAND", "ADD"},
                                                     {"CNI_CONTAINERID", text},
                                                     {"CNI_IFNAME", "eth0"},
                                                     {"CNI_NETNS", text},
                                                     {"CNI_ARGS", text}};
  const auto environment = cni::read_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
  expect(cni::is_cni_name(environment.container_id));
  static_cast<void>(cni::find_arg(environment.args, "K8S_POD_NAME"));
}

// What is printed reads as the same again.
void read_words(const std::string& text) {
  static_cast<void>(config::parse_duration(text));
  static_cast<void>(config::parse_port_ranges(text));
  const auto mark = config::parse_mark(text);
  if (mark) expect(config::parse_mark(config::to_text(*mark)) == mark);
  const auto address = net::parse_address(text);
  if (address) expect(net::parse_address(net::to_text(*address)) == address);
  const auto pod = net::parse_interface_address(text);
  if (pod) expect(net::parse_interface_address(net::to_text(*pod)) == pod);
}

// Our entry goes in once, and out again.
void read_conflist(const std::string& text) {
  const auto loaded = [](const std::string& list) {
    return conflist::read_networks({{.name = "x.conflist", .text = list}}).front();
  };
  const auto network = loaded(text);
  static_cast<void>(conflist::why_add_would_fail(network));
  if (!network.is_loaded()) return;
  const auto installed = conflist::with_entry(text, conflist::plain_entry);
  expect(loaded(installed).our_place().has_value());
  expect(conflist::with_entry(installed, conflist::plain_entry) == installed);
  if (network.our_place()) return;
  const auto removed = conflist::without_entry(installed, text);
  expect(loaded(removed).is_loaded() && !loaded(removed).our_place());
}

// Whatever the file is called, names that come out of it can be parts of a path.
void read_cached(const std::string& text) {
  const auto end = text.find('\n');
  const auto rest = end == std::string::npos ? "" : text.substr(end + 1);
  const auto cached = cni::parse_cached(text.substr(0, end), rest, {.networks = {"cbr0"}});
  if (!cached) return;
  expect(cni::is_container_id(cached->id.container_id) && cni::is_interface_name(cached->id.interface));
  static_cast<void>(cni::addresses(cached->result, cached->id.interface));
}

// A command line of systemd, with its variables, and what a shell makes of it.
void read_unit(const std::string& text) {
  const auto variables = runtime::parse_environment(text);
  static_cast<void>(runtime::words_of_unit(text, variables));
  static_cast<void>(runtime::commands_of_script(text, variables));
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);  // NOLINT: bytes as text
  try {
    switch (data[0] % 10) {  // NOLINT: what libFuzzer gives
      case 0:
        read_call(text);
        break;
      case 1:
        read_agent_file(text);
        break;
      case 2:
        read_environment(text);
        break;
      case 3:
        read_words(text);
        break;
      case 4:
        read_conflist(text);
        break;
      case 5:
        static_cast<void>(config::parse_cluster_networks(text, "/subnet.env"));
        break;
      case 6:
        read_cached(text);
        break;
      case 7:
        static_cast<void>(runtime::parse_toml(text, "/config.toml"));
        break;
      case 8:
        read_unit(text);
        break;
      default:
        expect(http::answer_to(text, {{"/healthz", [] { return http::Page{.body = "ok"}; }}})
                   .starts_with("HTTP/1.1 "));
    }
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused, as it should be
  }
  return 0;
}
