#include "plugin/commands/others_program.hpp"

#include <filesystem>
#include <system_error>

#include "conflist/conflist.hpp"
#include "doctor/program_trouble.hpp"
#include "error/error.hpp"
#include "plugin/commands/program_version.hpp"

namespace ipmasq::plugin {

void tell_ours_from_others(std::vector<doctor::BinFolder>& folders, std::vector<std::string>& not_looked) {
  for (auto& folder : folders) {
    const auto path = folder.path / conflist::our_type;
    std::error_code error;
    if (!folder.programs.contains(std::string(conflist::our_type)) ||
        !std::filesystem::is_regular_file(path, error))
      continue;  // a link that leads to nothing here is told by who found it
    try {
      folder.has_anothers = !program_version(path) && !doctor::is_cut_off(path);
    } catch (const Error& failed) {
      not_looked.emplace_back(failed.what());
    }
  }
}

}  // namespace ipmasq::plugin
