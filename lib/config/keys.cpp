#include "config/keys.hpp"

#include <algorithm>

namespace ipmasq::config {

namespace {

constexpr auto no_space_after_dash = "; an item needs a space after its \"-\"";
constexpr auto in_quotes = ", in quotes where it ends with \":\"";

bool looks_like_items(const cni::Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.starts_with('-') && !text.starts_with("- ");
}

}  // namespace

const cni::Json* Keys::find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

void Keys::refuse(const std::string& key, const cni::Json& value, const std::string& expected) {
  problems_.push_back(beginning(key, value) + key + " is " + cni::excerpt(value) + ": expected " + expected);
}

void Keys::note(const std::string& key, const std::string& problem) {
  problems_.push_back(beginning(key, nullptr) + problem);
}

bool Keys::is_of_policy(const std::string& key) const {
  return policy_.own != nullptr && policy_.own->contains(key);
}

std::string Keys::origin(const std::string& key) const {
  const bool is_own = is_of_policy(key);
  const bool is_from_file = file_ != nullptr && file_->keys.contains(is_own ? "policies" : key);
  return key + (is_own ? " of policy " + policy_.name : "") +
         (is_from_file ? " in " + file_->path.string() : "");
}

void Keys::take_problems(const Keys& others) {
  problems_.insert(problems_.end(), others.problems_.begin(), others.problems_.end());
}

std::string Keys::place(const std::string& key, const cni::Json& item) const {
  if (file_ == nullptr) return "";
  const auto policy = policy_key(policy_.name);
  const auto within = policy_.name.empty() ? key : policy + " " + key;
  for (const auto& each : {item_key(within, item), within, policy}) {
    const auto found = file_->places.find(each);
    if (found != file_->places.end()) return found->second + ": ";
  }
  return "";
}

std::string Keys::beginning(const std::string& key, const cni::Json& item) const {
  return place(key, item) + (policy_.name.empty() ? "" : "policy " + policy_.name + ": ");
}

std::optional<bool> Keys::boolean(const char* key) {
  const auto* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  refuse(key, *value, "true or false");
  return std::nullopt;
}

std::optional<std::string> Keys::string(const char* key, const std::string& expected) {
  const auto* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  refuse(key, *value, expected);
  return std::nullopt;
}

std::optional<std::vector<cni::Json>> Keys::items(const char* key, const std::string& expected) {
  const auto* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array()) return value->get<std::vector<cni::Json>>();
  refuse(key, *value, "a list of " + expected + (looks_like_items(*value) ? no_space_after_dash : ""));
  return std::nullopt;
}

std::optional<std::vector<std::string>> Keys::strings(const char* key, const std::string& expected) {
  const auto values = items(key, expected);
  if (!values) return std::nullopt;
  const auto other = std::ranges::find_if(*values, [](const cni::Json& item) { return !item.is_string(); });
  if (other == values->end()) return std::vector<std::string>(values->begin(), values->end());
  problems_.push_back(beginning(key, *other) + key + " holds " + cni::excerpt(*other) + ": expected " +
                      expected + (other->is_object() ? in_quotes : ""));
  return std::nullopt;
}

std::optional<unsigned> Keys::number(const char* key, unsigned lowest, unsigned highest) {
  const auto* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= lowest && number <= highest) return static_cast<unsigned>(number);
  }
  refuse(key, *value, "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest));
  return std::nullopt;
}

}  // namespace ipmasq::config
