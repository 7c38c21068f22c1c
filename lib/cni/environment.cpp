#include "cni/environment.hpp"

#include <algorithm>
#include <map>

#include "cni/json.hpp"
#include "error/error.hpp"

namespace ipmasq::cni {

namespace {

// A container ID becomes part of a file name (255 bytes at most), beside the interface's name.
constexpr std::size_t longest_container_id = 200;
constexpr std::size_t longest_value = 4096;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

[[noreturn]] void refuse(const std::string& name, const std::string& value, const std::string& expected) {
  throw Error(Kind::wrong_call, name + "=" + excerpt(value) + ": expected " + expected);
}

Command parse_command(const std::string& text) {
  static const std::map<std::string_view, Command> commands{
      {"ADD", Command::add}, {"DEL", Command::del},       {"CHECK", Command::check},
      {"GC", Command::gc},   {"STATUS", Command::status}, {"VERSION", Command::version}};
  const auto found = commands.find(text);
  if (found == commands.end()) refuse("CNI_COMMAND", text, "ADD, DEL, CHECK, GC, STATUS or VERSION");
  return found->second;
}

template <typename Visit>
void for_each_arg(std::string_view args, Visit visit) {
  while (!args.empty()) {
    const auto arg = args.substr(0, args.find(';'));
    visit(arg);
    args.remove_prefix(std::min(args.size(), arg.size() + 1));
  }
}

void check_args(const std::string& args) {
  for_each_arg(args, [&args](std::string_view arg) {
    const auto equals = arg.find('=');
    if (equals == std::string_view::npos || equals == 0) refuse("CNI_ARGS", args, "KEY=VALUE;KEY=VALUE");
  });
}

}  // namespace

bool is_cni_name(std::string_view text) {
  return !text.empty() && is_alphanumeric(text.front()) && std::ranges::all_of(text, [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_container_id(std::string_view text) {
  return is_cni_name(text) && text.size() <= longest_container_id;
}

bool is_interface_name(std::string_view text) {
  constexpr auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20U || byte == 0x7fU;
  };
  constexpr std::size_t longest = 15;  // IFNAMSIZ less the terminating zero
  return !text.empty() && text.size() <= longest && text != "." && text != ".." &&
         text.find_first_of("/: ") == std::string_view::npos && std::ranges::none_of(text, is_control);
}

std::optional<std::string> find_arg(const std::string& args, std::string_view key) {
  std::optional<std::string> value;
  for_each_arg(args, [&](std::string_view arg) {
    if (arg.starts_with(key) && arg.substr(key.size()).starts_with('=')) value = arg.substr(key.size() + 1);
  });
  return value;
}

Environment read_environment(const EnvironmentLookup& lookup) {
  const auto value_of = [&lookup](const char* name) {
    auto value = lookup(name).value_or("");
    if (value.size() > longest_value)
      refuse(name, value, "at most " + std::to_string(longest_value) + " bytes");
    return value;
  };

  Environment environment;
  environment.command = parse_command(value_of("CNI_COMMAND"));
  const auto command = environment.command;
  if (command != Command::add && command != Command::del && command != Command::check) return environment;

  environment.container_id = value_of("CNI_CONTAINERID");
  if (!is_container_id(environment.container_id)) {
    refuse("CNI_CONTAINERID", environment.container_id,
           "a letter or digit, then letters, digits, '_', '.' or '-', at most " +
               std::to_string(longest_container_id) + " bytes");
  }
  environment.interface = value_of("CNI_IFNAME");
  if (!is_interface_name(environment.interface)) {
    refuse("CNI_IFNAME", environment.interface,
           "an interface name of 1 to 15 bytes, not '.' or '..', without '/', ':', white space or control "
           "characters");
  }
  // What a DEL does not need must not keep a pod from ending.
  if (command == Command::del) return environment;

  environment.netns = value_of("CNI_NETNS");
  if (environment.netns.empty())
    refuse("CNI_NETNS", environment.netns, "the path of the pod's network namespace");
  environment.args = value_of("CNI_ARGS");
  check_args(environment.args);
  return environment;
}

}  // namespace ipmasq::cni
