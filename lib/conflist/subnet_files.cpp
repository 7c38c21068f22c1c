#include "conflist/subnet_files.hpp"

#include "config/defaults.hpp"
#include "conflist/typed_keys.hpp"

namespace ipmasq::conflist {

namespace {

namespace fs = std::filesystem;

// Go finds keys whatever their case, and takes an empty path for none.
fs::path subnet_file_in(const cni::Json& plugin) {
  auto said = text_in_plugin(plugin, "subnetFile");
  return said.empty() ? config::default_subnet_file : std::move(said);
}

}  // namespace

std::optional<fs::path> subnet_file_of_flannel(const Network& network) {
  for (const auto& plugin : network.plugins) {
    if (type_of(plugin) == flannel_type) return subnet_file_in(plugin);
  }
  return std::nullopt;
}

bool SubnetFiles::are_same() const {
  return flannels.lexically_normal() == ours.lexically_normal();
}

std::optional<SubnetFiles> subnet_files_of(const Network& network) {
  const auto place = network.our_place();
  auto flannels = subnet_file_of_flannel(network);
  if (!place || !flannels) return std::nullopt;
  const auto& entry = network.plugins[*place];
  const auto said = entry.find("subnetFile");
  const bool is_said = said != entry.end() && said->is_string();
  return SubnetFiles{std::move(*flannels), is_said ? said->get<std::string>() : config::default_subnet_file};
}

}  // namespace ipmasq::conflist
