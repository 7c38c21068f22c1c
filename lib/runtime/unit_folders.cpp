#include "runtime/unit_folders.hpp"

#include <sstream>
#include <utility>

#include "cni/json.hpp"
#include "runtime/unit.hpp"

namespace ipmasq::runtime {

namespace {

cni::Json with_commas(const std::string& value) {
  auto list = cni::Json::array();
  std::istringstream stream(value);
  for (std::string each; std::getline(stream, each, ',');) {
    if (!each.empty()) list.push_back(each);
  }
  return list;
}

std::string said(const char* option, const UnitOption& found) {
  return std::string(option) + " in " + found.said_by;
}

}  // namespace

std::optional<std::filesystem::path> path_of_option(const std::vector<std::string>& units,
                                                    const std::vector<std::string>& names,
                                                    const NodeFiles& files) {
  const auto found = option_of(units, names, files);
  if (!found) return std::nullopt;
  const auto& name = names.front();
  return folder_in({{name, found->value}}, name.c_str(), found->said_by);
}

bool take_networks(const std::vector<std::string>& units, const char* option, const NodeFiles& files,
                   Folders& folders) {
  const auto found = option_of(units, {option}, files);
  if (!found) return false;
  auto folder = folder_in({{option, found->value}}, option, found->said_by);
  if (!folder) return false;
  folders.networks = *std::move(folder);
  folders.networks_said_by = said(option, *found);
  return true;
}

bool take_plugins(const std::vector<std::string>& units, const char* option, const NodeFiles& files,
                  Folders& folders) {
  const auto found = option_of(units, {option}, files);
  if (!found) return false;
  auto several = folders_in({{option, with_commas(found->value)}}, option, found->said_by);
  if (several.empty()) return false;
  folders.plugins = std::move(several);
  folders.plugins_said_by = said(option, *found);
  return true;
}

}  // namespace ipmasq::runtime
