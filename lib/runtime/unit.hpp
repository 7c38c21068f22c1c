// What a service of systemd is started with (systemd.service(5), ExecStart; systemd.unit(5), drop-ins).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

struct UnitOption {
  std::string value;
  std::string said_by;  ///< the file whose ExecStart has it
};

/// The last "--NAME VALUE" or "--NAME=VALUE" of the first of these units that is there, as its files say,
/// which a running one may not have read yet; nullopt where there is none. What stands in a variable is not
/// looked up: the value is its name. Throws Error.
std::optional<UnitOption> option_of(const std::vector<std::string>& units, std::string_view name,
                                    const NodeFiles& files);

}  // namespace ipmasq::runtime
