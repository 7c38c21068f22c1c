#include "plugin/commands/command_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <vector>

#include <cxxopts.hpp>

#include "config/defaults.hpp"
#include "config/port_range.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/agent/agent.hpp"
#include "plugin/agent/config_copy.hpp"
#include "plugin/commands/adopt.hpp"
#include "plugin/commands/after_uninstall.hpp"
#include "plugin/commands/completion.hpp"
#include "plugin/commands/folders.hpp"
#include "plugin/commands/help_table.hpp"
#include "plugin/commands/install.hpp"
#include "plugin/commands/operands.hpp"
#include "plugin/commands/program_version.hpp"
#include "plugin/commands/uninstall.hpp"
#include "plugin/commands/waiting_install.hpp"

namespace ipmasq::plugin {

namespace {

constexpr int wrong_usage = 2;
constexpr int not_looked = 3;

constexpr auto help = R"(ip-masq: a CNI chained plugin that lets pods keep their own IP address

As a plugin it is called by a container runtime, with CNI_COMMAND set and the network
configuration on stdin. By hand:

  ip-masq show                 networks, pod subnets, attachments, each rule with its counters
  ip-masq explain SRC DST      does DST see SRC's own address, and which key says so (SRC: an
                               address, or NAMESPACE/POD)
  ip-masq probe HOST           does HOST answer what pods send, and which source does it see
  ip-masq doctor               what on this node hides pods or can undo an exemption, and the fix
  ip-masq sync                 bring the kernel's rules to what is wanted, now
  ip-masq adopt                record pods that were there before, or whose record was lost
  ip-masq agent                sync at each change of configuration or rules, until SIGTERM
  ip-masq install              put this program and its entry into the conflist where they belong
  ip-masq uninstall            take the entry out again
  ip-masq completion bash|zsh|fish  a script by which that shell completes commands and options
  ip-masq --version
  ip-masq --help

Options:
  --state-dir DIR              where attachments are recorded (default /run/cni/ip-masq)
  --keep-installed             agent: install again whenever the entry or the program is gone
  --config-from FILE           agent: keep a copy of FILE at /etc/config/ip-masq-agent; given more than
                               once: of the first that exists
  --listen ADDRESS:PORT        agent: answer /healthz, /livez and /metrics there by HTTP (default: nowhere)
  --flavour FLAVOUR            adopt, agent, install, uninstall, doctor: whose folders are meant: auto, kubeadm,
                               k3s, rke2, microk8s, openshift, crio or podman (default auto, what the node's
                               files say, where no folder is named)
  --conf-dir DIR               adopt, agent, install, uninstall, doctor: where conflists are, whatever the
                               flavour (else /etc/cni/net.d)
  --bin-dir DIR                agent, install, uninstall, doctor: where plugins are, whatever the flavour (else
                               /opt/cni/bin; of doctor also where else runtimes have them, and given once for
                               each where there are several)
  --after TYPE                 agent, install: the plugin whose conflist is meant (default flannel)
  --wait                       install: until there is such a conflist, and what it asks for
  --dry-run                    adopt, install, uninstall: say what would be done, and do nothing
  --rules                      uninstall: take all rules and records away as well
  --port N                     probe: ask by TCP at this port (default: by ICMP)
  --from PODSUBNET             probe: from this one alone (default: each that is recorded)
  -o, --output text|json       show, explain, probe, doctor, adopt: how to print (default text)

Exit status: 0 done, 1 not (with why on stderr), of probe something to do, of doctor something that hurts a
pod, 2 wrong usage, 3 of doctor: something could not be looked at, and nothing is found that hurts.
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

// none: what is found.
std::optional<runtime::Flavour> parse_flavour(const std::string& text) {
  if (text == "auto") return std::nullopt;
  if (const auto flavour = runtime::parse_flavour(text)) return flavour;
  std::string names;
  for (const auto flavour : runtime::all_flavours) names += ", " + runtime::to_text(flavour);
  throw UsageError("--flavour is \"" + text + "\": expected one of auto" + names);
}

// A command with what was given to it.
struct Call {
  std::string_view name;
  const cxxopts::ParseResult& options;
  std::vector<std::string> operands;

  bool has(const char* option) const { return options.count(option) > 0; }
  /// Of an option that takes no value, which may be told all the same: --rules=false.
  bool is_on(const char* option) const { return options[option].as<bool>(); }
  std::string text(const char* option) const { return options[option].as<std::string>(); }
  std::filesystem::path state_dir() const { return text("state-dir"); }
  Doing doing() const { return is_on("dry-run") ? Doing::pretend : Doing::act; }
  OutputFormat format() const { return parse_format(text("output")); }
};

FolderOptions folder_options(const Call& call) {
  FolderOptions options{.has_flavour = call.has("flavour")};
  if (options.has_flavour) options.flavour = parse_flavour(call.text("flavour"));
  if (call.has("conf-dir")) options.conf_dir = call.text("conf-dir");
  if (!call.has("bin-dir")) return options;
  const auto folders = call.options["bin-dir"].as<std::vector<std::string>>();
  options.bin_dir = folders.front();
  options.more_bin_dirs.assign(folders.begin() + 1, folders.end());
  if (!options.more_bin_dirs.empty() && call.name != "doctor")
    throw UsageError(std::string(call.name) + " takes one --bin-dir");
  return options;
}

void tell(const Notes& notes) {
  for (const auto& note : notes) std::cerr << "ip-masq: note: " << nat::printable(note) << '\n';
}

void tell_reason(const CommandFolders& folders) {
  if (!folders.reason.empty()) tell({folders.reason});
}

// ---- the commands; each gives the exit status

int run_show(const Call& call) {
  show(call.state_dir(), call.format(), std::cout);
  return EXIT_SUCCESS;
}

int run_explain(const Call& call) {
  explain(call.state_dir(), call.operands[0], call.operands[1], call.format(), std::cout);
  return EXIT_SUCCESS;
}

int run_probe(const Call& call) {
  ProbeTarget target{.host = parse_operand("HOST", call.operands[0])};
  if (call.has("port")) target.port = parse_port(call.text("port"));
  if (call.has("from")) target.from = parse_subnet(call.text("from"));
  return probe_host(call.state_dir(), target, call.format(), std::cout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int run_doctor(const Call& call) {
  const DoctorTarget target{call.state_dir(), folders_for_doctor(folder_options(call))};
  switch (diagnose(target, call.format(), std::cout)) {
    case doctor::Health::well:
      return EXIT_SUCCESS;
    case doctor::Health::hurt:
      return EXIT_FAILURE;
    case doctor::Health::not_known:
      return not_looked;
  }
  return EXIT_FAILURE;
}

int run_sync(const Call& call) {
  sync(call.state_dir(), std::cout);
  return EXIT_SUCCESS;
}

int run_adopt(const Call& call) {
  const auto folders = folders_for(folder_options(call));
  if (folders.is_found) tell_reason(folders);
  adopt(call.state_dir(), folders.conf_dir, call.is_on("dry-run") ? DryRun::yes : DryRun::no, call.format(),
        std::cout);
  return EXIT_SUCCESS;
}

int run_agent(const Call& call) {
  const auto options = folder_options(call);
  AgentDuties duties{.chores = {.asked_for = options, .folders = folders_for_agent(options)}};
  if (call.is_on("keep-installed")) duties.chores.keep_installed = call.text("after");
  if (call.has("config-from")) {
    const auto from = call.options["config-from"].as<std::vector<std::string>>();
    duties.chores.config_copy = ConfigCopy{.from = {from.begin(), from.end()}};
  }
  if (call.has("listen")) duties.listen = parse_listen_address(call.text("listen"));
  if (duties.chores.keep_installed) tell_reason(duties.chores.folders);
  run_agent(call.state_dir(), duties, STDOUT_FILENO);
  return EXIT_SUCCESS;
}

int run_install(const Call& call) {
  if (call.is_on("wait") && call.doing() == Doing::act) {
    const auto installed = install_when_possible(folder_options(call), call.text("after"), std::cout);
    tell(installed.notes);
    adopt_after_install(call.state_dir(), installed.folders.conf_dir, std::cout);
    return EXIT_SUCCESS;
  }
  const auto folders = folders_for(folder_options(call));
  const auto target = target_in(folders, call.text("after"));
  tell_reason(folders);
  tell(install(target, call.doing(), std::cout));
  if (call.doing() == Doing::act) {
    adopt_after_install(call.state_dir(), target.conf_dir, std::cout);
  } else {
    tell_what_install_would_adopt(call.state_dir(), target.conf_dir, lists_once_installed(target), std::cout);
  }
  return EXIT_SUCCESS;
}

int run_uninstall(const Call& call) {
  const auto folders = folders_for(folder_options(call));
  tell_reason(folders);
  const auto target = target_in(folders, call.text("after"));
  const auto doing = call.doing();
  const auto done = uninstall(target, doing, std::cout);
  tell(done.notes);
  if (is_of_this_node(target.conf_dir)) remove_copy_of_agent(doing, std::cout);
  if (call.is_on("rules")) remove_rules(call.state_dir(), doing, std::cout);
  const auto changed = doing == Doing::pretend ? done.files : std::vector<std::filesystem::path>();
  tell(settle_program(call.state_dir(), target, call.is_on("rules"), doing, changed, std::cout));
  return EXIT_SUCCESS;
}

int run_completion(const Call& call) {
  try {
    print_completion(call.operands[0], help, std::cout);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  return EXIT_SUCCESS;
}

struct Command {
  std::string_view name;
  std::size_t operands;
  int (*run)(const Call& call);
};

constexpr std::array<Command, 10> commands{{{"show", 0, run_show},
                                            {"explain", 2, run_explain},
                                            {"probe", 1, run_probe},
                                            {"doctor", 0, run_doctor},
                                            {"sync", 0, run_sync},
                                            {"adopt", 0, run_adopt},
                                            {"agent", 0, run_agent},
                                            {"install", 0, run_install},
                                            {"uninstall", 0, run_uninstall},
                                            {"completion", 1, run_completion}}};

// What every command takes.
constexpr std::array<std::string_view, 3> common{"state-dir", "output", "operands"};

void refuse_options_of_others(const std::string& command, const cxxopts::ParseResult& parsed) {
  const auto table = read_help(help);
  for (const auto& given : parsed.arguments()) {
    const auto option = std::ranges::find(table.options, given.key(), &ToldOption::name);
    if (option == table.options.end()) continue;
    const bool is_common = std::ranges::find(common, given.key()) != common.end();
    if (!is_common && !option->is_of(command)) throw UsageError(command + " has no option --" + given.key());
    if (!option->value.empty() && given.value().empty())
      throw UsageError("--" + given.key() + " is empty: expected " + option->value);
  }
}

// As of a variable that a script has not set.
void refuse_empty_operands(const std::string& command, const std::vector<std::string>& operands) {
  if (std::ranges::find(operands, "") == operands.end()) return;
  const auto table = read_help(help);
  throw UsageError("an argument of " + command + " is empty: expected " +
                   std::ranges::find(table.commands, command, &ToldCommand::name)->operands);
}

// The exit status.
int run(int argc, const char* const* argv) {
  cxxopts::Options options("ip-masq");
  options.add_options()("h,help", "")("version", "")(
      "state-dir", "", cxxopts::value<std::string>()->default_value(config::default_state_dir))(
      "flavour", "", cxxopts::value<std::string>())("conf-dir", "", cxxopts::value<std::string>())(
      "bin-dir", "", cxxopts::value<std::vector<std::string>>())(
      "after", "", cxxopts::value<std::string>()->default_value(InstallTarget{}.after))("rules", "")(
      "keep-installed", "")("wait", "")("dry-run", "")("listen", "", cxxopts::value<std::string>())(
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
    std::cout << version_line;
    return EXIT_SUCCESS;
  }
  auto operands = parsed.count("operands") > 0 ? parsed["operands"].as<std::vector<std::string>>()
                                               : std::vector<std::string>{};
  if (operands.empty()) throw UsageError("no command");
  const auto command = operands.front();
  operands.erase(operands.begin());
  const auto* const found = std::ranges::find(commands, command, &Command::name);
  if (found == commands.end()) throw UsageError("there is no command \"" + command + "\"");
  if (operands.size() != found->operands) {
    throw UsageError(command + " takes " + std::to_string(found->operands) + " arguments, not " +
                     std::to_string(operands.size()));
  }
  refuse_empty_operands(command, operands);
  refuse_options_of_others(command, parsed);
  return found->run({found->name, parsed, operands});
}

int tell_usage(const std::exception& error) {
  std::cerr << "ip-masq: " << nat::printable(error.what()) << "; see ip-masq --help\n";
  return wrong_usage;
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  try {
    const int status = run(argc, argv);
    std::cout.flush();
    if (!std::cout) throw_errno("cannot write to stdout");
    return status;
  } catch (const Error& error) {
    std::cerr << "ip-masq: " << nat::printable(error.what()) << '\n';
    std::istringstream details(error.details());
    for (std::string line; std::getline(details, line);) std::cerr << "  " << nat::printable(line) << '\n';
    return EXIT_FAILURE;
  } catch (const UsageError& error) {
    return tell_usage(error);
  } catch (const cxxopts::exceptions::exception& error) {
    return tell_usage(error);
  } catch (const std::bad_alloc&) {
    std::cerr << "ip-masq: out of memory\n";
    return EXIT_FAILURE;
  } catch (const std::exception& error) {
    std::cerr << "ip-masq: " << nat::printable(error.what()) << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace ipmasq::plugin
