// What a service of systemd is started with (systemd.service(5), ExecStart; systemd.unit(5), drop-ins;
// systemd.exec(5), Environment).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

struct UnitOption {
  std::string value;
  std::string said_by;  ///< the file that has it
};

/// Of the first of these units that is there, as its files say, which a running one may not have read yet:
/// the last "--NAME VALUE" or "--NAME=VALUE" (with one "-" as well) of any of the names; nullopt where there
/// is none. What stands in a variable is not looked up: the value is its name. Throws Error.
std::optional<UnitOption> option_of(const std::vector<std::string>& units,
                                    const std::vector<std::string>& names, const NodeFiles& files);

/// Of the same: a variable by its Environment, or by the files that its EnvironmentFile names, which count
/// more; nullopt where it is not set, or empty. Throws Error.
std::optional<UnitOption> variable_of(const std::vector<std::string>& units, std::string_view name,
                                      const NodeFiles& files);

}  // namespace ipmasq::runtime
