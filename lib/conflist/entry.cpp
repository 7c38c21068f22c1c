#include "conflist/entry.hpp"

#include <algorithm>
#include <iterator>

namespace ipmasq::conflist {

namespace {

using cni::Json;

bool is_of(const Json& plugin, const std::string& type) {
  return plugin.is_object() && plugin.contains("type") && plugin.at("type") == type;
}

Json list_of(const Json& plugin) {
  auto list = Json::object();
  auto only = Json::object();
  for (const auto& [key, value] : plugin.items()) {
    const bool is_of_the_list = key == "cniVersion" || key == "name";
    (is_of_the_list ? list : only)[key] = value;
  }
  list["plugins"] = Json::array({only});
  return list;
}

}  // namespace

bool is_list(const Json& config) {
  return config.is_object() && config.contains("plugins") && config.at("plugins").is_array();
}

bool holds(const Json& config, const std::string& type) {
  if (!is_list(config)) return is_of(config, type);
  const auto& plugins = config.at("plugins");
  return std::any_of(plugins.begin(), plugins.end(),
                     [&type](const Json& plugin) { return is_of(plugin, type); });
}

Json with_our_entry(const Json& config) {
  auto list = is_list(config) ? config : list_of(config);
  for (auto& plugin : list["plugins"]) {
    if (!is_of(plugin, "flannel")) continue;
    auto& delegate = plugin["delegate"];
    if (delegate.is_null()) delegate = Json::object();
    if (delegate.is_object() && !delegate.contains("ipMasq")) delegate["ipMasq"] = false;
  }
  if (!holds(list, std::string(our_type))) list["plugins"].push_back({{"type", std::string(our_type)}});
  return list;
}

Json without_our_entry(const Json& config) {
  auto list = config;
  auto& plugins = list["plugins"];
  auto kept = Json::array();
  std::copy_if(plugins.begin(), plugins.end(), std::back_inserter(kept),
               [](const Json& plugin) { return !is_of(plugin, std::string(our_type)); });
  plugins = kept;
  return list;
}

}  // namespace ipmasq::conflist
