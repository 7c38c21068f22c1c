#include "doctor/list_programs.hpp"

#include <algorithm>

#include "conflist/typed_keys.hpp"

namespace ipmasq::doctor {

namespace {

using Programs = std::set<std::string>;

cni::Json object_at(const cni::Json& plugin, const char* key) {
  const auto found = plugin.find(key);
  return found != plugin.end() && found->is_object() ? *found : cni::Json::object();
}

void add_plugin(const cni::Json& plugin, const std::string& type, Programs& programs) {
  for (const auto& each : {type, conflist::type_of(object_at(plugin, "ipam"))}) {
    if (!each.empty()) programs.insert(each);
  }
}

}  // namespace

Programs others_of(const conflist::Network& list) {
  Programs programs;
  for (const auto& plugin : list.plugins) {
    const auto type = conflist::type_of(plugin);
    if (type == conflist::our_type) continue;
    add_plugin(plugin, type, programs);
    if (type != conflist::flannel_type) continue;
    // What flannel's plugin takes where nothing is said.
    const auto delegate = object_at(plugin, "delegate");
    const auto maker = conflist::type_of(delegate);
    add_plugin(delegate, maker.empty() ? "bridge" : maker, programs);
    if (conflist::type_of(object_at(delegate, "ipam")).empty()) programs.insert("host-local");
  }
  return programs;
}

std::vector<const BinFolder*> folders_with_all(const std::vector<BinFolder>& folders,
                                               const Programs& programs) {
  std::vector<const BinFolder*> found;
  for (const auto& folder : folders) {
    const auto has = [&folder](const std::string& each) { return folder.programs.contains(each); };
    if (std::ranges::all_of(programs, has)) found.push_back(&folder);
  }
  return found;
}

}  // namespace ipmasq::doctor
