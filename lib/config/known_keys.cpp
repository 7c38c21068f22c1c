#include "config/known_keys.hpp"

#include <algorithm>
#include <utility>

#include "config/key_names.hpp"

namespace ipmasq::config {

namespace {

struct KeyOfOurs {
  const std::string& written;
  const cni::Json& value;
  std::string slip;  ///< what its writer meant otherwise; empty where it is in force
};

// Empty for a key that is nobody's of ours.
std::string slip_of(const std::string& key) {
  const auto told = "key " + cni::excerpt(key) + " of the network configuration is ";
  const bool is_of_file = std::ranges::any_of(
      key_names, [&key](const KeyName& each) { return each.name == key && !each.in_netconf; });
  if (is_of_file) return told + "left alone: expected it in the file that configFile names";
  const auto meant = meant_by(key, KeyHolder::netconf);
  return meant ? told + "not known, and left alone: did you mean \"" + std::string(*meant) + "\"?" : "";
}

std::vector<KeyOfOurs> keys_of_ours(const cni::Json& netconf) {
  constexpr std::size_t most_others = 256;  // a netconf has no more than a dozen
  std::vector<KeyOfOurs> ours;
  std::size_t others = 0;
  for (const auto& [key, value] : netconf.get_ref<const cni::Json::object_t&>()) {
    const bool is_known = std::ranges::any_of(
        key_names, [&written = key](const KeyName& each) { return each.name == written && each.in_netconf; });
    if (!is_known && ++others > most_others) continue;
    auto slip = is_known ? "" : slip_of(key);
    if (is_known || !slip.empty()) ours.push_back({key, value, std::move(slip)});
  }
  return ours;
}

}  // namespace

std::vector<std::string> slips_of(const cni::Json& netconf) {
  std::vector<std::string> slips;
  for (auto& key : keys_of_ours(netconf)) {
    if (!key.slip.empty()) slips.push_back(std::move(key.slip));
  }
  return slips;
}

cni::Json known_keys(const cni::Json& netconf) {
  cni::Json::object_t known;
  for (const auto& key : keys_of_ours(netconf))
    known.emplace_back(key.written, key.slip.empty() ? key.value : cni::Json());
  return known;
}

}  // namespace ipmasq::config
