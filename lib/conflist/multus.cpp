#include "conflist/multus.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "conflist/typed_keys.hpp"

namespace ipmasq::conflist {

namespace {

namespace fs = std::filesystem;
using cni::Json;

constexpr std::array<std::string_view, 2> types_of_multus{"multus", "multus-shim"};

bool is_multus(const Json& plugin) {
  return std::ranges::find(types_of_multus, type_of(plugin)) != types_of_multus.end();
}

bool is_in(const fs::path& path, const fs::path& folder) {
  const auto parent = path.lexically_normal().parent_path().native();
  return parent.ends_with((folder / "").lexically_normal().parent_path().native());
}

// A path leads to a file, anything else is the name of a network; the API server's networks, which come
// before that, are not to be seen from here.
Led led_to(const std::string& named, const std::vector<Network>& networks, const fs::path& folder) {
  const fs::path path = named;
  const bool is_path = named.find('/') != std::string::npos;
  const auto found = std::ranges::find_if(networks, [&](const Network& network) {
    if (std::ranges::any_of(network.plugins, is_multus)) return false;
    return is_path ? is_in(path, folder) && network.file.name == path.filename().native()
                   : network.is_loaded() && network.name == named;
  });
  if (found == networks.end())
    return {.elsewhere = is_path ? named : "the network " + cni::excerpt(Json(named))};
  return {.list = std::to_address(found)};
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
  if (!cluster.empty()) return led_to(cluster, networks, folder);
  const auto delegates = plugin->find("delegates");
  if (delegates == plugin->end() || !delegates->is_array() || delegates->empty() ||
      !delegates->front().is_object())
    return Led{.elsewhere = "what its daemon was told"};
  return Led{.embedded = as_network(delegates->front(), first.file)};
}

}  // namespace ipmasq::conflist
