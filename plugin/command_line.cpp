#include "plugin/command_line.hpp"

#include <cstdlib>
#include <iostream>
#include <vector>

#include <cxxopts.hpp>

#include "cni/error.hpp"
#include "config/netconf.hpp"
#include "config/port_range.hpp"
#include "plugin/agent.hpp"
#include "plugin/config_copy.hpp"
#include "plugin/install.hpp"
#include "plugin/operands.hpp"

namespace ipmasq::plugin {

namespace {

constexpr int wrong_usage = 2;

constexpr auto help = R"(ip-masq: a CNI chained plugin that lets pods keep their own IP address

As a plugin it is called by a container runtime, with CNI_COMMAND set and the network
configuration on stdin. By hand:

  ip-masq show                 networks, pod subnets, attachments, each rule with its counters
  ip-masq explain SRC DST      does DST see SRC's own address, and which key says so
  ip-masq probe HOST           does HOST answer what pods send, and which source does it see
  ip-masq doctor               what on this node hides pods or can undo an exemption, and the fix
  ip-masq sync                 bring the kernel's rules to what is wanted, now
  ip-masq agent                sync at each change of configuration or rules, until SIGTERM
  ip-masq install              put this program and its entry into the conflist where they belong
  ip-masq uninstall            take the entry out again
  ip-masq --version
  ip-masq --help

Options:
  --state-dir DIR              where attachments are recorded (default /run/cni/ip-masq)
  --keep-installed             agent: install again whenever the entry or the program is gone
  --config-from FILE           agent: keep a copy of FILE at /etc/config/ip-masq-agent; given more than
                               once: of the first that exists
  --listen ADDRESS:PORT        agent: answer /healthz and /metrics there by HTTP (default: nowhere)
  --conf-dir DIR               agent, install, uninstall, doctor: where conflists are (default /etc/cni/net.d)
  --bin-dir DIR                agent, install: where plugins are (default /opt/cni/bin)
  --after TYPE                 agent, install: the plugin whose conflist is meant (default flannel)
  --wait                       install: until there is such a conflist
  --rules                      uninstall: take all rules and records away as well
  --port N                     probe: ask by TCP at this port (default: by ICMP)
  --from PODSUBNET             probe: from this one alone (default: each that is recorded)
  -o, --output text|json       show, explain, probe, doctor: how to print (default text)

Exit status: 0 done, 1 not (with why on stderr) or, of doctor and probe, something to do, 2 wrong usage.
)";

class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

OutputFormat parse_format(const std::string& name) {
  if (name == "text") return OutputFormat::text;
  if (name == "json") return OutputFormat::json;
  throw UsageError("--output is \"" + name + "\": expected text or json");
}

std::uint16_t parse_port(const std::string& text) {
  const auto range = config::parse_port_ranges(text);
  if (range && range->size() == 1 && range->front().size() == 1) return range->front().first;
  throw UsageError("--port is \"" + text + "\": expected 1 to 65535");
}

ListenAddress parse_listen_address(const std::string& text) {
  const auto colon = text.rfind(':');
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = net::parse_address(host);
  const auto port =
      colon == std::string::npos ? std::nullopt : config::parse_port_ranges(text.substr(colon + 1));
  if (address && port && port->size() == 1 && port->front().size() == 1)
    return {*address, port->front().first};
  throw UsageError("--listen is \"" + text +
                   "\": expected an address and a port such as 127.0.0.1:9464 or [::1]:9464");
}

net::Prefix parse_subnet(const std::string& text) {
  const auto parsed = net::parse_interface_address(text);
  if (parsed) return parsed->network();
  throw UsageError("--from is \"" + text + "\": expected a pod subnet such as 10.244.1.0/24");
}

void expect_operands(const std::string& command, const std::vector<std::string>& operands,
                     std::size_t count) {
  if (operands.size() == count) return;
  throw UsageError(command + " takes " + std::to_string(count) + " arguments, not " +
                   std::to_string(operands.size()));
}

InstallTarget install_target(const cxxopts::ParseResult& parsed) {
  return {parsed["bin-dir"].as<std::string>(), parsed["conf-dir"].as<std::string>(),
          parsed["after"].as<std::string>()};
}

// The exit status.
int run(int argc, const char* const* argv) {
  cxxopts::Options options("ip-masq");
  options.add_options()("h,help", "")("version", "")(
      "state-dir", "", cxxopts::value<std::string>()->default_value(config::Netconf{}.state_dir.string()))(
      "conf-dir", "", cxxopts::value<std::string>()->default_value(InstallTarget{}.conf_dir.string()))(
      "bin-dir", "", cxxopts::value<std::string>()->default_value(InstallTarget{}.bin_dir.string()))(
      "after", "", cxxopts::value<std::string>()->default_value(InstallTarget{}.after))("rules", "")(
      "keep-installed", "")("wait", "")("listen", "", cxxopts::value<std::string>())(
      "config-from", "", cxxopts::value<std::vector<std::string>>())(
      "port", "", cxxopts::value<std::string>())("from", "", cxxopts::value<std::string>())(
      "o,output", "", cxxopts::value<std::string>()->default_value("text"))(
      "operands", "", cxxopts::value<std::vector<std::string>>()->default_value(""));
  options.parse_positional("operands");
  const auto parsed = options.parse(argc, argv);

  if (parsed.count("help") > 0) {
    std::cout << help;
    return EXIT_SUCCESS;
  }
  if (parsed.count("version") > 0) {
    std::cout << "ip-masq " IP_MASQ_VERSION "\n";
    return EXIT_SUCCESS;
  }
  auto operands = parsed.count("operands") > 0 ? parsed["operands"].as<std::vector<std::string>>()
                                               : std::vector<std::string>{};
  if (operands.empty()) throw UsageError("no command");
  const auto command = operands.front();
  operands.erase(operands.begin());
  const std::filesystem::path state_dir(parsed["state-dir"].as<std::string>());
  const auto format = parse_format(parsed["output"].as<std::string>());

  if (command == "show") {
    expect_operands(command, operands, 0);
    show(state_dir, format, std::cout);
  } else if (command == "explain") {
    expect_operands(command, operands, 2);
    explain(state_dir, operands[0], operands[1], format, std::cout);
  } else if (command == "probe") {
    expect_operands(command, operands, 1);
    ProbeTarget target{.host = parse_operand("HOST", operands[0])};
    if (parsed.count("port") > 0) target.port = parse_port(parsed["port"].as<std::string>());
    if (parsed.count("from") > 0) target.from = parse_subnet(parsed["from"].as<std::string>());
    return probe_host(state_dir, target, format, std::cout) ? EXIT_SUCCESS : EXIT_FAILURE;
  } else if (command == "doctor") {
    expect_operands(command, operands, 0);
    const std::filesystem::path conf_dir(parsed["conf-dir"].as<std::string>());
    return diagnose(state_dir, conf_dir, format, std::cout) ? EXIT_SUCCESS : EXIT_FAILURE;
  } else if (command == "agent") {
    expect_operands(command, operands, 0);
    AgentDuties duties;
    if (parsed.count("keep-installed") > 0) duties.keep_installed = install_target(parsed);
    if (parsed.count("config-from") > 0) {
      const auto from = parsed["config-from"].as<std::vector<std::string>>();
      duties.config_copy = ConfigCopy{.from = {from.begin(), from.end()}};
    }
    if (parsed.count("listen") > 0) duties.listen = parse_listen_address(parsed["listen"].as<std::string>());
    run_agent(state_dir, duties, std::cout);
  } else if (command == "install" || command == "uninstall") {
    expect_operands(command, operands, 0);
    const auto target = install_target(parsed);
    if (command == "uninstall") {
      uninstall(target, std::cout);
      const auto removed = remove_copy(ConfigCopy{}.to);
      if (!removed.empty()) std::cout << removed << '\n';
    } else if (parsed.count("wait") > 0) {
      install_when_possible(target, std::cout);
    } else {
      install(target, std::cout);
    }
    if (command == "uninstall" && parsed.count("rules") > 0) remove_rules(state_dir, std::cout);
  } else if (command == "sync") {
    expect_operands(command, operands, 0);
    sync(state_dir, std::cout);
  } else {
    throw UsageError("there is no command \"" + command + "\"");
  }
  return EXIT_SUCCESS;
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  try {
    const int status = run(argc, argv);
    std::cout.flush();
    if (std::cout) return status;
    std::cerr << "ip-masq: cannot write to stdout\n";
    return EXIT_FAILURE;
  } catch (const cni::Error& error) {
    std::cerr << "ip-masq: " << error.what() << '\n';
    if (!error.details().empty()) std::cerr << "  " << error.details() << '\n';
    return EXIT_FAILURE;
  } catch (const std::exception& error) {  // UsageError, or what cxxopts says of the options
    std::cerr << "ip-masq: " << error.what() << "; see ip-masq --help\n";
    return wrong_usage;
  }
}

}  // namespace ipmasq::plugin
