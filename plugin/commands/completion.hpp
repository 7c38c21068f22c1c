// What a shell offers after "ip-masq ".
#pragma once

#include <iosfwd>
#include <string_view>

namespace ipmasq::plugin {

/// A script that completes commands, their options and what these take, for "bash", "zsh" or "fish". `help`
/// is what --help prints. Throws std::invalid_argument for another shell.
void print_completion(std::string_view shell, std::string_view help, std::ostream& output);

}  // namespace ipmasq::plugin
