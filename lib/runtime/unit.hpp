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

/// Whether it runs, or is enabled.
bool is_in_use(const std::string& unit, const NodeFiles& files);

/// Of those of these units that are there: the ones that run, or else that are enabled, or else all; as their
/// files say, which a running one may not have read yet.
///
/// The last "--NAME VALUE" or "--NAME=VALUE" (with one "-" as well) of any of the names on the command line,
/// with the variables of the unit looked up, also where a shell is told to start the program; nullopt where
/// there is none. Throws Error{wrong_config} where that cannot be told: it is in what a shell finds out when
/// it runs, or two units say different things.
std::optional<UnitOption> option_of(const std::vector<std::string>& units,
                                    const std::vector<std::string>& names, const NodeFiles& files);

/// A variable by its Environment, or by the files that its EnvironmentFile names, which count more; nullopt
/// where it is not set, or empty. Throws Error, as option_of.
std::optional<UnitOption> variable_of(const std::vector<std::string>& units, std::string_view name,
                                      const NodeFiles& files);

}  // namespace ipmasq::runtime
