#include "config/policies.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cni/environment.hpp"
#include "config/glob.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

constexpr std::size_t longest_name = 26;
constexpr std::size_t longest_namespace = 63;  // RFC 1123, as Kubernetes has it
constexpr std::size_t most_policies = 256;
constexpr std::size_t most_globs = 10'000;
constexpr std::size_t most_networks = 100'000;  // in the lists of all policies

constexpr auto expected_policy = R"(policies such as {"name": "partner", "namespaces": ["payments"]})";
constexpr auto expected_globs =
    "namespaces such as \"payments\" or \"team-*\": at most 63 lower-case letters, digits and '-', in which "
    "* stands for any text and ? for a letter";
constexpr auto as_a_text = "; in quotes what YAML takes for something else: \"y\", \"on\", \"7\"";

std::string expected_name() {
  return "a letter or digit, then letters, digits, '_', '.' or '-', at most " + std::to_string(longest_name) +
         " bytes";
}

std::string expected_keys() {
  std::string text = "a key that a policy can have: name, namespaces, annotated";
  for (const auto name : pod_key_names) text.append(", ").append(name);
  return text;
}

bool is_glob(const std::string& text) {
  constexpr auto letters = "abcdefghijklmnopqrstuvwxyz0123456789-*?";
  return !text.empty() && text.size() <= longest_namespace &&
         text.find_first_not_of(letters) == std::string::npos;
}

// What somebody wrote as a word is something else to YAML.
std::string quoted(const Json& item) {
  return item.is_boolean() || item.is_number() || item.is_null() ? as_a_text : "";
}

std::vector<std::string> read_globs(Keys& keys, const char* key) {
  const auto items = keys.items(key, expected_globs).value_or(std::vector<Json>());
  if (items.size() > most_globs) {
    keys.note(key, std::string(key) + " has " + std::to_string(items.size()) + " items: expected at most " +
                       std::to_string(most_globs));
    return {};
  }
  std::vector<std::string> globs;
  globs.reserve(items.size());
  for (const auto& item : items) {
    if (item.is_string() && is_glob(item.get_ref<const std::string&>()))
      globs.push_back(item.get<std::string>());
    else
      keys.refuse(key, item, expected_globs + quoted(item));
  }
  return globs;
}

bool is_known(const std::string& key) {
  return key == "name" || key == "namespaces" || key == "annotated" ||
         std::ranges::find(pod_key_names, key) != pod_key_names.end();
}

void refuse_unknown_keys(Keys& keys, const Json& item) {
  for (const auto& [key, value] : item.items()) {
    if (is_known(key)) continue;
    const bool is_plain = cni::is_cni_name(key) && key.size() <= longest_namespace;
    keys.refuse(is_plain ? key : cni::excerpt(key), value, expected_keys());
  }
}

// What the policy says by itself; the rest is the network's.
Policy read_policy(Keys& keys, const std::string& name, const PodKeys& network) {
  Policy policy{.name = name,
                .namespaces = read_globs(keys, "namespaces"),
                .annotated = read_globs(keys, "annotated"),
                .keys = network};
  if (!keys.has("namespaces") && !keys.has("annotated")) {
    keys.note("name",
              "neither namespaces nor annotated is there, so no pod has it: expected either, [] for none");
  }
  read_lists(keys);
  read_pod_values(keys, policy.keys);
  return policy;
}

bool has_lists(const Json& item) {
  return std::ranges::any_of(list_keys, [&item](const char* key) { return item.contains(key); });
}

std::size_t networks_of(const PodKeys& keys) {
  return keys.non_masquerade.size() + keys.masquerade.size();
}

bool refuse_too_many(Keys& keys, std::size_t networks) {
  if (networks <= most_networks) return false;
  keys.note("policies", "the lists of policies have more than " + std::to_string(most_networks) +
                            " networks in all, each with those of the network's that it has: expected fewer");
  return true;
}

// Lists go together with the network's.
void fill_lists_of(Policy& policy, Keys& keys, const Json& item, const AgentFile* file, const FindKey& find) {
  auto asked = Json::object();
  for (const auto* const key : list_keys) {
    const auto own = item.find(key);
    const auto* const value = own != item.end() ? &*own : find(key);
    if (value != nullptr) asked[key] = *value;
  }
  Keys together(asked, file, {policy.name, &item});
  fill_lists(together, read_lists(together), policy.keys);
  keys.take_problems(together);
}

// A name that no other policy has; nullopt where it is none.
std::optional<std::string> read_name(Keys& keys, const Json& item, std::set<std::string>& names) {
  if (!item.is_object()) {
    keys.refuse("policies", item, expected_policy);
    return std::nullopt;
  }
  const auto found = item.find("name");
  if (found == item.end()) {
    keys.refuse("policies", item, std::string("a name in each, as in ") + expected_policy);
    return std::nullopt;
  }
  auto name = found->is_string() ? found->get<std::string>() : "";
  if (!is_policy_name(name)) {
    keys.refuse("policies", item, "as name " + expected_name() + quoted(*found));
    return std::nullopt;
  }
  if (!names.insert(name).second) {
    keys.note("policies", "policies has two of the name " + name + ": expected a name of its own for each");
    return std::nullopt;
  }
  return name;
}

struct Read {
  Policy policy;
  Json item;
};

std::vector<Read> read_alone(Keys& keys, const AgentFile* file, const PodKeys& network) {
  std::vector<Read> all;
  auto items = keys.items("policies", expected_policy);
  if (!items) return all;
  if (items->size() > most_policies) {
    keys.note("policies", "policies has " + std::to_string(items->size()) + " items: expected at most " +
                              std::to_string(most_policies));
    return all;
  }
  auto without_lists = network;
  without_lists.non_masquerade.clear();
  without_lists.masquerade.clear();
  std::set<std::string> names;
  std::size_t networks = 0;
  for (auto& item : *items) {
    const auto name = read_name(keys, item, names);
    if (!name) continue;
    Keys own(item, file, {*name, &item});
    refuse_unknown_keys(own, item);
    auto policy = read_policy(own, *name, has_lists(item) ? without_lists : network);
    keys.take_problems(own);
    networks += networks_of(policy.keys);
    if (refuse_too_many(keys, networks)) return all;
    all.push_back({std::move(policy), std::move(item)});
  }
  return all;
}

std::optional<std::string> glob_that_holds(const std::vector<std::string>& globs, std::string_view space) {
  if (space.empty()) return std::nullopt;
  const auto found =
      std::ranges::find_if(globs, [space](const std::string& glob) { return matches_glob(glob, space); });
  return found == globs.end() ? std::nullopt : std::optional(*found);
}

std::string why_refused(const Policy* policy, std::string_view space, const std::string& asked) {
  if (policy == nullptr) return "there is no policy " + cni::excerpt(asked);
  if (space.empty()) return "its runtime did not say its namespace";
  return "neither annotated nor namespaces of policy " + policy->name + " holds namespace " +
         std::string(space);
}

}  // namespace

bool is_policy_name(std::string_view text) {
  return cni::is_cni_name(text) && text.size() <= longest_name;
}

std::vector<Policy> read_policies(Keys& keys, const AgentFile* file, const PodKeys& network,
                                  const FindKey& find) {
  std::vector<Policy> policies;
  auto read = read_alone(keys, file, network);
  const bool is_right = keys.problems().empty();
  std::size_t networks = 0;
  for (auto& [policy, item] : read) {
    if (is_right && has_lists(item)) fill_lists_of(policy, keys, item, file, find);
    networks += networks_of(policy.keys);
    policies.push_back(std::move(policy));
    if (refuse_too_many(keys, networks)) break;
  }
  return policies;
}

void check_policies(Keys& keys, const AgentFile* file) {
  read_alone(keys, file, PodKeys{});
}

PolicyChoice choose_policy(const std::vector<Policy>& policies, std::string_view space,
                           const std::string& asked) {
  PolicyChoice choice;
  if (!asked.empty()) {
    const auto found = std::ranges::find(policies, asked, &Policy::name);
    const auto* const policy = found == policies.end() ? nullptr : &*found;
    const bool may_have = policy != nullptr && (glob_that_holds(policy->annotated, space) ||
                                                glob_that_holds(policy->namespaces, space));
    if (may_have) return {policy, "asked for"};
    choice.refused = why_refused(policy, space, asked);
  }
  for (const auto& policy : policies) {
    const auto glob = glob_that_holds(policy.namespaces, space);
    if (!glob) continue;
    choice.policy = &policy;
    choice.by = "namespaces: " + *glob;
    break;
  }
  return choice;
}

}  // namespace ipmasq::config
