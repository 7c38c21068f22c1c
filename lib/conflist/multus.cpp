#include "conflist/multus.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "config/key_names.hpp"
#include "conflist/typed_keys.hpp"

namespace ipmasq::conflist {

namespace {

namespace fs = std::filesystem;
using cni::Json;

constexpr std::array<std::string_view, 2> types_of_multus{"multus", "multus-shim"};

bool is_multus(const Json& plugin) {
  return std::ranges::find(types_of_multus, type_of(plugin)) != types_of_multus.end();
}

// Either of the two may be as a container sees it. `by`: the file that names the path.
bool is_in(const fs::path& path, const fs::path& folder, const File& by) {
  if (by.leads_here.contains(path.string())) return true;
  const auto parent = path.lexically_normal().parent_path().native();
  const auto ours = (folder / "").lexically_normal().parent_path().native();
  return parent.ends_with(ours) || (path.is_absolute() && ours.ends_with(parent));
}

bool is_a_path(const std::string& named) {
  return named.find('/') != std::string::npos;
}

// Of a name that no runtime considers nobody knows whether it is there.
bool is_missing(const fs::path& path, const std::vector<Network>& networks, const fs::path& folder,
                const File& by) {
  const auto name = path.filename().native();
  return is_in(path, folder, by) && is_considered(name) &&
         std::ranges::find(networks, name, [](const Network& each) { return each.file.name; }) ==
             networks.end();
}

// Those of a text, or of a list of texts, under a key whose letters may be of any case.
std::vector<std::string> texts_under(const Json& plugin, std::string_view key) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : plugin.items()) {
    if (!config::equal_but_for_case(name, key)) continue;
    for (const auto& each : value.is_array() ? value : Json::array({value})) {
      if (each.is_string()) texts.push_back(each.get<std::string>());
    }
  }
  return texts;
}

// A path leads to a file, anything else is the name of a network; the API server's networks, which come
// before that, are not to be seen from here.
Led led_to(const std::string& named, const std::vector<Network>& networks, const fs::path& folder,
           const File& by) {
  const fs::path path = named;
  const bool is_path = is_a_path(named);
  const auto found = std::ranges::find_if(networks, [&](const Network& network) {
    if (std::ranges::any_of(network.plugins, is_multus)) return false;
    return is_path ? is_in(path, folder, by) && network.file.name == path.filename().native()
                   : network.is_loaded() && network.name == named;
  });
  Led led{.asked_for = is_path ? "" : named};
  if (found != networks.end()) {
    led.list = std::to_address(found);
  } else {
    led.elsewhere = is_path ? named : "the network " + cni::excerpt(Json(named));
    led.is_missing = is_path && is_missing(path, networks, folder, by);
  }
  return led;
}

Network as_network(const Json& delegate, const File& file) {
  const auto* const name = delegate.contains("plugins") ? "x.conflist" : "x.conf";
  auto network = read_networks({{.name = name, .text = cni::to_text(delegate)}}).front();
  network.file.name = file.name;
  return network;
}

}  // namespace

std::optional<Led> led_by_multus(const Network& first, const std::vector<Network>& networks,
                                 const fs::path& folder) {
  const auto plugin = std::ranges::find_if(first.plugins, is_multus);
  if (plugin == first.plugins.end()) return std::nullopt;
  const auto cluster = text_in_plugin(*plugin, "clusterNetwork");
  if (!cluster.empty()) return led_to(cluster, networks, folder, first.file);
  const auto delegates = plugin->find("delegates");
  if (delegates == plugin->end() || !delegates->is_array() || delegates->empty() ||
      !delegates->front().is_object())
    return Led{.elsewhere = "what its daemon was told"};
  return Led{.embedded = as_network(delegates->front(), first.file)};
}

std::vector<NamedFile> named_by_multus(const Network& network, const fs::path& folder) {
  std::vector<NamedFile> named;
  for (const auto& plugin : network.plugins) {
    if (!is_multus(plugin)) continue;
    for (const auto* const key : {"clusterNetwork", "defaultNetworks", "readinessindicatorfile"}) {
      for (auto& path : texts_under(plugin, key)) {
        if (!is_a_path(path) || !is_in(path, folder, network.file)) continue;
        auto name = fs::path(path).filename().native();
        named.push_back({network.file.name, key, std::move(path), std::move(name)});
      }
    }
  }
  return named;
}

std::vector<NamedFile> who_names(const std::string& name, const std::vector<Network>& networks,
                                 const fs::path& folder) {
  std::vector<NamedFile> found;
  for (const auto& network : networks) {
    for (auto& named : named_by_multus(network, folder)) {
      if (named.name == name) found.push_back(std::move(named));
    }
  }
  return found;
}

std::string told_to_name(const NamedFile& named, const std::string& instead, const fs::path& folder) {
  return "write " + cni::to_text(Json((fs::path(named.path).parent_path() / instead).string())) +
         " under \"" + named.key + "\" of " + (folder / named.by).string() +
         ", and into what multus' pod makes that file from";
}

}  // namespace ipmasq::conflist
