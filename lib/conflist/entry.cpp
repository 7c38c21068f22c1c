#include "conflist/entry.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "cni/json.hpp"
#include "config/key_names.hpp"
#include "config/policies.hpp"
#include "conflist/conflist.hpp"
#include "conflist/located.hpp"
#include "conflist/typed_keys.hpp"
#include "conflist/utf8.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

constexpr std::string_view our_member = R"("ipMasq": false)";

// Of a list; a single plugin has none.
Located plugins_of(const std::string& list) {
  const auto root = locate(list);
  const auto* const plugins = root.member("plugins");
  return plugins != nullptr ? *plugins : Located();
}

bool is_of(const std::string& text, const Located& plugin, std::string_view type) {
  if (plugin.held.empty() || text[plugin.begin] != '{') return false;
  return type_of(cni::parse_json(with_utf8_alone(plugin.in(text)), "it")) == type;
}

std::vector<const Located*> flannels_in(const std::string& list, const Located& plugins) {
  std::vector<const Located*> found;
  for (const auto& plugin : plugins.held) {
    if (is_of(list, plugin, flannel_type)) found.push_back(&plugin);
  }
  return found;
}

// The first one; nullptr where there is none.
const Located* ours_in(const std::string& list, const Located& plugins) {
  const auto found = std::ranges::find_if(
      plugins.held, [&list](const Located& plugin) { return is_of(list, plugin, our_type); });
  return found == plugins.held.end() ? nullptr : std::to_address(found);
}

// Found whatever its case, as flannel's plugin finds it.
const Located* delegate_of(const Located& flannel) {
  const auto found = std::find_if(flannel.held.rbegin(), flannel.held.rend(), [](const Located& member) {
    return config::equal_but_for_case(member.key, "delegate");
  });
  return found == flannel.held.rend() ? nullptr : std::to_address(found);
}

bool is_object(const std::string& text, const Located& value) {
  return text[value.begin] == '{';
}

bool is_null(const std::string& text, const Located& value) {
  return value.in(text) == "null";
}

std::string without_masquerade(const std::string& list, const Located& flannel) {
  const auto* const delegate = delegate_of(flannel);
  const auto object = "{" + std::string(our_member) + "}";
  if (delegate == nullptr) return with_last(list, flannel, "\"delegate\": " + object);
  if (is_null(list, *delegate)) return with_value(list, *delegate, object);
  if (!is_object(list, *delegate) || delegate->member("ipMasq") != nullptr) return list;
  return with_last(list, *delegate, our_member);
}

// Where a value stands in what holds it.
std::size_t index_of(const Located& container, const Located* value) {
  return static_cast<std::size_t>(value - container.held.data());
}

// `flannel` as it was in `old` (of `before`), of ipMasq alone.
std::string as_before(const std::string& list, const Located& flannel, const std::string& before,
                      const Located& old) {
  const auto* const delegate = delegate_of(flannel);
  if (delegate == nullptr || !is_object(list, *delegate)) return list;
  const auto* const said = delegate->member("ipMasq");
  if (said == nullptr || said->in(list) != "false") return list;
  const auto* const old_delegate = delegate_of(old);
  const bool was_object = old_delegate != nullptr && is_object(before, *old_delegate);
  if (was_object && old_delegate->member("ipMasq") != nullptr) return list;
  if (was_object || delegate->held.size() > 1) return without(list, *delegate, index_of(*delegate, said));
  if (old_delegate == nullptr) return without(list, flannel, index_of(flannel, delegate));
  return with_value(list, *delegate, old_delegate->in(before));
}

std::string with_delegates_as_before(std::string list, const std::string& before) {
  const auto plugins = plugins_of(list);
  const auto old_plugins = plugins_of(before);
  const auto flannels = flannels_in(list, plugins);
  const auto old = flannels_in(before, old_plugins);
  for (auto number = std::min(flannels.size(), old.size());
       number-- > 0;) {  // an edit moves what is behind it
    list = as_before(list, *flannels[number], before, *old[number]);
  }
  return list;
}

// Which of the keys that a list has a single plugin's key is, whatever its case; empty for any other.
std::string_view key_of_list(std::string_view key) {
  for (const std::string_view name : {"cniVersion", "name"}) {
    if (config::equal_but_for_case(key, name)) return name;
  }
  return {};
}

}  // namespace

bool asks_for_annotations(const cni::Json& entry) {
  const auto declares = [](const auto& member) {
    const auto& [key, value] = member;
    return config::equal_but_for_case(key, "capabilities") && value.is_object() &&
           value.value(config::annotations_capability, cni::Json()) == cni::Json(true);
  };
  return std::ranges::any_of(entry.items(), declares);
}

std::string with_entry(const std::string& list, const std::optional<std::string>& entry) {
  auto changed = list;
  if (const auto plugins = plugins_of(list); entry) {
    const auto* const ours = ours_in(list, plugins);
    changed = ours != nullptr ? with_value(list, *ours, *entry) : with_last(list, plugins, *entry);
  }
  const auto plugins = plugins_of(changed);
  auto flannels = flannels_in(changed, plugins);
  std::ranges::reverse(flannels);  // an edit moves what is behind it
  for (const auto* const flannel : flannels) changed = without_masquerade(changed, *flannel);
  return changed;
}

std::string without_entry(const std::string& list, const std::optional<std::string>& before) {
  auto changed = list;
  const auto plugins = plugins_of(list);
  for (auto index = plugins.held.size(); index-- > 1;) {  // an edit moves what is behind it
    if (is_of(list, plugins.held[index], our_type)) changed = without(changed, plugins, index);
  }
  if (const auto left = plugins_of(changed);
      !left.held.empty() && is_of(changed, left.held.front(), our_type))
    changed = without(changed, left, 0);
  return before ? with_delegates_as_before(changed, *before) : changed;
}

std::string as_list(const std::string& single) {
  const auto root = locate(single);
  std::string keys;
  std::string plugin;
  for (const auto& member : root.held) {
    const auto text = single.substr(member.key_begin, member.end - member.key_begin);
    const auto key = key_of_list(member.key);
    if (key.empty()) {
      plugin += (plugin.empty() ? "      " : ",\n      ") + text;
    } else if (key == member.key) {
      keys += "  " + text + ",\n";
    } else {
      keys += "  \"" + std::string(key) + "\": " + std::string(member.in(single)) + ",\n";
    }
  }
  return "{\n" + keys + "  \"plugins\": [\n    {\n" + plugin + "\n    }\n  ]\n}\n";
}

std::optional<std::string> entry_of(const std::string& list) {
  const auto plugins = plugins_of(list);
  const auto* const ours = ours_in(list, plugins);
  return ours == nullptr ? std::nullopt : std::optional<std::string>(ours->in(list));
}

bool has_keys(const std::string& entry) {
  static const auto declared = cni::parse_json(plain_entry, "it").at("capabilities");
  const auto root = locate(entry);
  return std::ranges::any_of(root.held, [&entry](const Located& member) {
    if (config::equal_but_for_case(member.key, "type")) return false;
    return member.key != "capabilities" ||
           cni::parse_json(with_utf8_alone(member.in(entry)), "it") != declared;
  });
}

bool is_entry(const std::string& text) {
  try {
    const auto entry = cni::parse_json(with_utf8_alone(text), "it");
    return entry.is_object() && type_of(entry) == our_type;
  } catch (const Error&) {
    return false;
  }
}

bool says_no_masquerade(const std::string& list) {
  const auto plugins = plugins_of(list);
  return std::ranges::any_of(flannels_in(list, plugins), [&list](const auto* flannel) {
    const auto* const delegate = delegate_of(*flannel);
    const auto* const said = delegate != nullptr ? delegate->member("ipMasq") : nullptr;
    return said != nullptr && said->in(list) == "false";
  });
}

}  // namespace ipmasq::conflist
