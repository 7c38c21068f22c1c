#include "runtime/folders.hpp"

#include "error/error.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_no_path(const char* key, const cni::Json& value, const std::string& path) {
  throw Error(Kind::wrong_config, path + ": " + key + " is " + value.dump() + ": expected an absolute path");
}

// Written as everybody writes it: without "/" at its end.
fs::path folder_of(const cni::Json& value, const char* key, const std::string& path) {
  const fs::path folder = value.is_string() ? value.get<std::string>() : "";
  if (!folder.is_absolute()) throw_no_path(key, value, path);
  const auto normal = (folder / "").lexically_normal().parent_path();
  return normal.empty() ? "/" : normal;
}

}  // namespace

std::string Folders::to_text() const {
  std::string searched;
  for (const auto& folder : plugins) searched += (searched.empty() ? "" : " or ") + folder.string();
  return "networks in " + networks.string() + " (" + networks_said_by + "), plugins in " + searched + " (" +
         plugins_said_by + ")";
}

std::optional<fs::path> folder_in(const cni::Json& table, const char* key, const std::string& path) {
  const auto found = table.find(key);
  if (found == table.end() || *found == cni::Json("")) return std::nullopt;
  return folder_of(*found, key, path);
}

std::vector<fs::path> folders_in(const cni::Json& table, const char* key, const std::string& path) {
  const auto found = table.find(key);
  std::vector<fs::path> folders;
  if (found == table.end()) return folders;
  if (!found->is_array())
    throw Error(Kind::wrong_config,
                path + ": " + key + " is " + found->dump() + ": expected a list of paths");
  for (const auto& each : *found) folders.push_back(folder_of(each, key, path));
  return folders;
}

}  // namespace ipmasq::runtime
