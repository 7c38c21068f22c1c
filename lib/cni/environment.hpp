// The environment that a runtime gives to a plugin (CNI spec 1.1, section 2, "Parameters").
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::cni {

enum class Command { add, del, check, gc, status, version };

struct Environment {
  Command command = Command::version;
  std::string container_id;  ///< empty where the command takes none
  std::string netns;         ///< may be empty for DEL; never opened
  std::string interface;
  std::string args;  ///< CNI_ARGS, "K=V;K=V"
};

using EnvironmentLookup = std::function<std::optional<std::string>(const char* name)>;

/// Throws Error{wrong_call} that names the variable, its value and what was expected.
Environment read_environment(const EnvironmentLookup& lookup);

/// A letter or digit, then letters, digits, '_', '.', '-': the spec's characters for network names and
/// container IDs.
bool is_cni_name(std::string_view text);

/// The same, short enough to be part of a file's name beside an interface's.
bool is_container_id(std::string_view text);

/// As the kernel takes it: 1 to 15 bytes, not "." or "..", without '/', ':' or white space.
bool is_interface_name(std::string_view text);

/// The value of `key` in CNI_ARGS; nullopt where it is absent.
std::optional<std::string> find_arg(const std::string& args, std::string_view key);

}  // namespace ipmasq::cni
