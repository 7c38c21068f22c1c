// A file that EnvironmentFile of a unit names, or that a shell reads (systemd.exec(5), EnvironmentFile).
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace ipmasq::runtime {

/// "NAME=VALUE" a line: quotes are taken away, a "\" before the end of a line goes on in the next one, and a
/// value without quotes goes to the end of its line.
std::map<std::string, std::string> parse_environment(std::string_view text);

}  // namespace ipmasq::runtime
