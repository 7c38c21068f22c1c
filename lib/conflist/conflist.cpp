#include "conflist/conflist.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>

#include "cni/request.hpp"
#include "cni/version.hpp"
#include "config/key_names.hpp"
#include "config/netconf_reading.hpp"
#include "conflist/typed_keys.hpp"
#include "conflist/utf8.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

using cni::Json;

// Of the plugins that need another before them, those that stand in the lists out there.
constexpr std::array<std::string_view, 9> chained_types{
    "bandwidth", "firewall", "ip-masq", "istio-cni", "linkerd-cni", "portmap", "sbr", "tuning", "vrf"};

// As Go's filepath.Ext: also of a name that begins with the dot.
std::string_view extension_of(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot);
}

bool is_list_file(const File& file) {
  return extension_of(file.name) == ".conflist";
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Why libcni refuses what stands under a key that must be a string; empty where it does not.
std::string no_string_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_string()) return {};
  return "\"" + std::string(key) + "\" is " + cni::excerpt(*found) + ": expected a string";
}

// libcni takes since 1.2 the newest that it knows of `cniVersion` and `cniVersions`.
std::string version_of(const Json& config) {
  auto version = text_at(config, "cniVersion");
  const auto all = config.find("cniVersions");
  if (all == config.end() || !all->is_array()) return version;
  for (const auto& other : *all) {
    if (!other.is_string() || !cni::is_supported(other.get<std::string>())) continue;
    const auto text = other.get<std::string>();
    if (!cni::is_supported(version) || cni::is_older(version, text)) version = text;
  }
  return version;
}

std::string refusal_of_plugin(const Json& plugin) {
  if (auto wrong = wrong_type_in_plugin(plugin); !wrong.empty()) return wrong;
  return type_of(plugin).empty() ? "a plugin in it has no \"type\"" : "";
}

std::string refusal_of_plugins(const Json& plugins) {
  if (!plugins.is_array()) return "\"plugins\" is " + cni::excerpt(plugins) + ": expected an array";
  if (plugins.empty()) return "\"plugins\" is empty";
  for (const auto& plugin : plugins) {
    if (auto wrong = refusal_of_plugin(plugin); !wrong.empty()) return wrong;
  }
  return {};
}

// Why libcni does not load the file; empty where it does.
std::string refusal_of(const File& file, const Json& config) {
  const bool has_plugins = config.contains("plugins");
  if (!is_list_file(file)) {
    if (has_plugins && type_of(config).empty())
      return "it is a list: a list is loaded from a file whose name ends in .conflist alone";
    return refusal_of_plugin(config);
  }
  for (const auto* const key : {"name", "cniVersion"}) {
    if (auto wrong = no_string_at(config, key); !wrong.empty()) return wrong;
  }
  if (auto wrong = wrong_type_in_list(config); !wrong.empty()) return wrong;
  if (!config.contains("name")) return "it has no \"name\"";
  return has_plugins ? refusal_of_plugins(config.at("plugins")) : "";
}

bool loads_only_inlined(const Json& config) {
  const auto said = config.find("loadOnlyInlinedPlugins");
  return said != config.end() &&
         (*said == true ||
          (said->is_string() && config::equal_but_for_case(said->get<std::string>(), "true")));
}

std::vector<Json> plugins_of(const Json& config, bool is_single) {
  if (is_single) return {config};
  std::vector<Json> found;
  const auto plugins = config.find("plugins");
  if (plugins == config.end()) return found;
  if (!plugins->is_array()) return found;
  std::copy_if(plugins->begin(), plugins->end(), std::back_inserter(found),
               [](const Json& plugin) { return plugin.is_object(); });
  return found;
}

// How a file is taken, and why it is not loaded.
struct Verdict {
  Loading loading = Loading::refused;
  std::string reason = {};
};

// The object that a file holds; null with the verdict where it holds none.
Json object_in(const File& file, Verdict& verdict) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";  // which Go's parser takes for no JSON
  try {
    auto config = cni::parse_json(with_utf8_alone(file.text), "it");
    verdict.reason = file.text.starts_with(byte_order_mark) ? "it begins with a byte order mark" : "";
    if (config.is_object()) return config;
    verdict.reason = "it is " + cni::excerpt(config) + ": expected an object";
  } catch (const Error& error) {
    const bool is_deep = std::string_view(error.what()).find("nested") != std::string_view::npos;
    verdict = {is_deep ? Loading::unknown : Loading::refused, error.what()};
  }
  return nullptr;
}

// One of the files beside a list; what is wrong with it is wrong with the list.
void read_plugin(const File& file, Network& network) {
  Verdict verdict{Loading::unknown, file.trouble};
  if (file.trouble.empty()) {
    verdict.loading = Loading::refused;
    const auto plugin = object_in(file, verdict);
    if (verdict.reason.empty()) verdict.reason = refusal_of_plugin(plugin);
    if (plugin.is_object()) network.plugins.push_back(plugin);
  }
  if (verdict.reason.empty() || !network.is_loaded()) return;
  network.loading = verdict.loading;
  network.reason = "its plugin " + file.name + ": " + verdict.reason;
}

void read_plugins_beside(Network& network) {
  const auto& file = network.file;
  if (!file.plugins_trouble.empty() && network.is_loaded()) {
    network.loading = Loading::refused;
    network.reason = file.plugins_trouble;
  }
  for (const auto& plugin : file.plugins) read_plugin(plugin, network);
}

void read_text(Network& network) {
  const auto& file = network.file;
  Verdict verdict;
  const auto config = object_in(file, verdict);
  network.loading = verdict.loading;
  network.reason = verdict.reason;
  if (!config.is_object()) return;
  const bool is_list = is_list_file(file);
  const bool is_beside = is_list && !loads_only_inlined(config) && !file.plugins.empty();
  network.is_single = is_list ? !config.contains("plugins") && !is_beside
                              : !config.contains("plugins") || !type_of(config).empty();
  network.name = is_list ? text_at(config, "name") : text_in_plugin(config, "name");
  network.version_alone = is_list ? text_at(config, "cniVersion") : text_in_plugin(config, "cniVersion");
  network.cni_version = is_list ? version_of(config) : network.version_alone;
  network.plugins = plugins_of(config, network.is_single);
  network.inlined = network.plugins.size();
  if (network.reason.empty()) network.reason = refusal_of(file, config);
  if (network.reason.empty()) network.loading = Loading::loaded;
  if (is_list && !loads_only_inlined(config)) read_plugins_beside(network);
  if (network.is_loaded() && is_list && network.is_single) {
    network.loading = Loading::refused;
    network.reason =
        "it has no \"plugins\": a single plugin is loaded from a file whose name ends in .conf or .json "
        "alone";
  }
}

Network read_network(File file) {
  Network network{.file = std::move(file)};
  if (network.file.is_folder) {
    network.loading = Loading::passed;
    network.reason = "it is a folder";
  } else if (!network.file.trouble.empty()) {
    network.loading = Loading::unknown;
    network.reason = network.file.trouble;
  } else {
    read_text(network);
  }
  return network;
}

bool is_of(const Json& plugin, std::string_view type) {
  return type_of(plugin) == type;
}

bool is_chained(const Json& plugin) {
  return std::ranges::find(chained_types, type_of(plugin)) != chained_types.end();
}

std::string versions_that_we_speak() {
  std::string versions;
  for (const auto version : cni::supported_versions)
    versions += (versions.empty() ? "" : ", ") + std::string(version);
  return "ip-masq speaks " + versions;
}

std::string told_of_version(const std::string& version) {
  return version.empty() ? std::string("it has no \"cniVersion\"")
                         : "\"cniVersion\" is " + cni::excerpt(Json(version));
}

std::string wrong_version(const Network& network) {
  return told_of_version(network.cni_version) + ": " + versions_that_we_speak();
}

std::string wrong_place(const Network& network, std::size_t place) {
  const auto begin = network.plugins.begin();
  const auto ours = begin + static_cast<std::ptrdiff_t>(place);
  if (!std::all_of(begin, ours, is_chained)) return {};
  const auto after = std::find_if_not(ours, network.plugins.end(), is_chained);
  const auto behind = after == network.plugins.end() ? std::string("the plugin that makes the interface")
                                                     : cni::excerpt(Json(type_of(*after)));
  return "the entry of ip-masq comes before " + behind +
         ": it belongs behind it, which hands out the address";
}

}  // namespace

bool Network::holds(std::string_view type) const {
  return std::ranges::any_of(plugins, [type](const Json& plugin) { return is_of(plugin, type); });
}

std::optional<std::size_t> Network::our_place() const {
  const auto found =
      std::ranges::find_if(plugins, [](const Json& plugin) { return is_of(plugin, our_type); });
  if (found == plugins.end()) return std::nullopt;
  return static_cast<std::size_t>(found - plugins.begin());
}

bool Network::has_our_entry_inlined() const {
  const auto place = our_place();
  return place && *place < inlined;
}

const std::string& Network::file_of(std::size_t index) const {
  return index < inlined ? file.name : file.plugins.at(index - inlined).name;
}

std::optional<std::size_t> Network::place_of_maker() const {
  const auto found = std::ranges::find_if_not(plugins, is_chained);
  if (found == plugins.end()) return std::nullopt;
  return static_cast<std::size_t>(found - plugins.begin());
}

std::optional<std::string> folder_of_plugins(const File& list) {
  if (!is_list_file(list) || list.is_folder || !list.trouble.empty()) return std::nullopt;
  Verdict verdict;
  const auto config = object_in(list, verdict);
  const auto name = config.is_object() ? text_at(config, "name") : std::string();
  const bool is_asked_for = config.is_object() && !loads_only_inlined(config) && cni::is_network_name(name);
  return is_asked_for ? std::optional(name) : std::nullopt;
}

bool is_plugin_file(std::string_view name) {
  return extension_of(name) == ".conf";
}

bool is_considered(std::string_view name) {
  return std::ranges::find(extensions, extension_of(name)) != extensions.end();
}

std::vector<Network> read_networks(std::vector<File> files) {
  std::erase_if(files, [](const File& file) { return !is_considered(file.name); });
  std::ranges::sort(files, {}, &File::name);
  std::vector<Network> networks;
  std::ranges::transform(files, std::back_inserter(networks),
                         [](File& file) { return read_network(std::move(file)); });
  return networks;
}

const Network* first_loaded(const std::vector<Network>& networks) {
  const auto found = std::ranges::find_if(networks, &Network::is_loaded);
  return found == networks.end() ? nullptr : std::to_address(found);
}

const Network* first_with(const std::vector<Network>& networks, std::string_view type) {
  const auto found = std::ranges::find_if(
      networks, [type](const Network& network) { return network.is_loaded() && network.holds(type); });
  return found == networks.end() ? nullptr : std::to_address(found);
}

bool may_be_half_written(const Network& network) {
  return network.loading == Loading::refused && network.plugins.empty();
}

std::vector<const Network*> taken_of(const std::vector<Network>& networks, const Taken& taken) {
  std::vector<const Network*> found;
  for (const auto& network : networks) {
    if (network.is_loaded() && found.size() < taken.most) found.push_back(&network);
  }
  return found;
}

bool is_taken_as_well(const std::vector<Network>& networks, const Network& network, const Taken& taken) {
  const auto all = taken_of(networks, taken);
  return std::ranges::find(all, &network) != all.end() && all.front() != &network;
}

std::vector<const Network*> in_the_way(const std::vector<Network>& networks, const Network& network,
                                       const Taken& taken) {
  std::vector<const Network*> found;
  std::size_t loaded = 0;
  bool is_reached = false;
  for (const auto& other : networks) {
    if (is_reached && loaded >= taken.most) break;
    if (other.is_loaded()) ++loaded;
    if (&other == &network) {
      is_reached = true;
    } else if (other.loading == Loading::refused || other.loading == Loading::unknown) {
      found.push_back(&other);
    }
  }
  return found;
}

std::vector<std::string> why_add_would_fail(const Network& network) {
  std::vector<std::string> reasons;
  if (!cni::is_supported(network.cni_version)) reasons.push_back(wrong_version(network));
  if (!cni::is_network_name(network.name)) {
    reasons.push_back((network.name.empty() ? std::string("it has no \"name\"")
                                            : "\"name\" is " + cni::excerpt(Json(network.name))) +
                      ": expected a letter or digit, then letters, digits, '_', '.' or '-'");
  }
  const auto place = network.our_place();
  if (!place) return reasons;
  if (auto wrong = wrong_place(network, *place); !wrong.empty()) reasons.push_back(std::move(wrong));
  try {
    config::check_netconf(network.plugins[*place]);
  } catch (const Error& error) {
    reasons.emplace_back(error.what());
  }
  return reasons;
}

std::string why_older_libcni_would_fail(const Network& network) {
  if (cni::is_supported(network.version_alone) || !cni::is_supported(network.cni_version)) return {};
  return told_of_version(network.version_alone) +
         ", and \"cniVersions\" is read by libcni since 1.2: an older one (of containerd 1.7, CRI-O 1.29, "
         "podman 4) calls plugins as version " +
         (network.version_alone.empty() ? "0.1.0" : network.version_alone) + "; " + versions_that_we_speak();
}

}  // namespace ipmasq::conflist
