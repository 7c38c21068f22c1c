#include "conflist/typed_keys.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "config/key_names.hpp"

namespace ipmasq::conflist {

namespace {

using cni::Json;

using Test = bool (*)(const Json& value);

bool is_string(const Json& value) {
  return value.is_null() || value.is_string();
}

bool is_object(const Json& value) {
  return value.is_null() || value.is_object();
}

bool holds_only(const Json& value, Test test) {
  return std::ranges::all_of(value, test);
}

bool is_list_of_strings(const Json& value) {
  return value.is_null() || (value.is_array() && holds_only(value, is_string));
}

bool is_list_of_objects(const Json& value) {
  return value.is_null() || (value.is_array() && holds_only(value, is_object));
}

bool is_map_of_booleans(const Json& value) {
  const auto is_boolean = [](const Json& each) { return each.is_null() || each.is_boolean(); };
  return value.is_null() || (value.is_object() && holds_only(value, is_boolean));
}

// libcni's readBool also takes the words, in any case.
bool is_switch(const Json& value) {
  if (value.is_boolean()) return true;
  const auto is = [&value](std::string_view word) {
    return value.is_string() && config::equal_but_for_case(value.get_ref<const std::string&>(), word);
  };
  return is("true") || is("false");
}

// As libcni's ParseVersion: nothing at all, or up to three numbers.
bool is_version(const Json& value) {
  if (!value.is_string()) return false;
  std::string_view rest = value.get_ref<const std::string&>();
  if (rest.empty()) return true;
  for (int parts = 1;; ++parts) {
    const auto size = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (size == 0 || parts > 3) return false;
    if (size == rest.size()) return true;
    if (rest[size] != '.') return false;
    rest.remove_prefix(size + 1);
  }
}

bool is_list_of_versions(const Json& value) {
  return value.is_array() && holds_only(value, is_version);
}

struct TypedKey {
  std::string_view name;
  Test is_right;
  std::string_view expected;
};

// Keys of a Go struct are found whatever their case, those of a map by their bytes.
enum class Case { matters, does_not };

template <typename Keys>
std::string wrong_type(const Json& object, const Keys& keys, Case letters) {
  for (const auto& [name, value] : object.items()) {
    for (const auto& key : keys) {
      const bool is_meant =
          letters == Case::matters ? name == key.name : config::equal_but_for_case(name, key.name);
      if (is_meant && !key.is_right(value))
        return "\"" + name + "\" is " + cni::excerpt(value) + ": expected " + std::string(key.expected);
    }
  }
  return {};
}

constexpr std::array<TypedKey, 4> of_list{
    {{"disableCheck", is_switch, "true or false"},
     {"disableGC", is_switch, "true or false"},
     {"loadOnlyInlinedPlugins", is_switch, "true or false"},
     {"cniVersions", is_list_of_versions, "a list of versions such as \"1.0.0\""}}};

constexpr std::array<TypedKey, 8> of_plugin{
    {{"cniVersion", is_string, "a string"},
     {"name", is_string, "a string"},
     {"type", is_string, "a string"},
     {"capabilities", is_map_of_booleans, "an object of true and false"},
     {"ipam", is_object, "an object"},
     {"dns", is_object, "an object"},
     {"prevResult", is_object, "an object"},
     {"cni.dev/valid-attachments", is_list_of_objects, "a list of objects"}}};

constexpr std::array<TypedKey, 1> of_ipam{{{"type", is_string, "a string"}}};

constexpr std::array<TypedKey, 4> of_dns{{{"nameservers", is_list_of_strings, "a list of strings"},
                                          {"domain", is_string, "a string"},
                                          {"search", is_list_of_strings, "a list of strings"},
                                          {"options", is_list_of_strings, "a list of strings"}}};

}  // namespace

std::string wrong_type_in_list(const Json& list) {
  auto wrong = wrong_type(list, of_list, Case::matters);
  if (!wrong.empty() || !list.contains("cniVersions") || !list.contains("cniVersion")) return wrong;
  const auto& version = list.at("cniVersion");
  return is_version(version)
             ? ""
             : "\"cniVersion\" is " + cni::excerpt(version) + ": expected a version such as \"1.0.0\"";
}

std::string wrong_type_in_plugin(const Json& plugin) {
  if (!plugin.is_object()) return "a plugin in it is " + cni::excerpt(plugin) + ": expected an object";
  if (auto wrong = wrong_type(plugin, of_plugin, Case::does_not); !wrong.empty()) return wrong;
  for (const auto& [name, value] : plugin.items()) {
    if (!value.is_object()) continue;
    const bool is_ipam = config::equal_but_for_case(name, "ipam");
    const bool is_dns = config::equal_but_for_case(name, "dns");
    const auto wrong = is_ipam  ? wrong_type(value, of_ipam, Case::does_not)
                       : is_dns ? wrong_type(value, of_dns, Case::does_not)
                                : std::string();
    if (!wrong.empty()) return wrong + ", in \"" + name + "\"";
  }
  return {};
}

std::string text_in_plugin(const Json& plugin, std::string_view key) {
  const Json* last = nullptr;
  std::string name_of_last;
  for (const auto& [name, value] : plugin.items()) {
    if (!value.is_string() || !config::equal_but_for_case(name, key)) continue;
    if (last != nullptr && name < name_of_last) continue;
    last = &value;
    name_of_last = name;
  }
  return last != nullptr ? last->get<std::string>() : std::string();
}

}  // namespace ipmasq::conflist
