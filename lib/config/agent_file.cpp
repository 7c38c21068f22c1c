#include "config/agent_file.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "config/key_names.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

constexpr std::size_t most_nodes = 20'000;
constexpr int deepest_node = 8;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(Kind::wrong_config, problem);
}

bool equal_but_for_case(std::string_view left, std::string_view right) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(left, right, {}, lower, lower);
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [text](auto word) { return equal_but_for_case(text, word); });
}

// A plain scalar, as YAML 1.1 (which Kubernetes speaks) reads it.
Json plain_scalar(const std::string& text) {
  if (text.empty() || is_one_of(text, {"null", "~"})) return nullptr;
  if (is_one_of(text, {"true", "yes", "on", "y"})) return true;
  if (is_one_of(text, {"false", "no", "off", "n"})) return false;
  std::int64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc{} && stop == end)
    return number < 0 ? Json(number) : Json(static_cast<std::uint64_t>(number));
  return text;
}

std::string place_of(const std::filesystem::path& path, int line) {
  return path.string() + ", line " + std::to_string(line);
}

// Turns a document into JSON, and remembers the lines of its keys and items.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) { file_.path = path; }

  std::optional<AgentFile> read(std::string_view text) {
    try {
      const auto document = YAML::Load(std::string(text));
      if (document.IsNull() || !document.IsDefined()) return std::nullopt;
      if (!document.IsMap()) {
        refuse(place_of(file_.path, document.Mark().line + 1) + ": expected keys such as nonMasqueradeCIDRs");
      }
      for (const auto& entry : document) read_entry(entry.first, entry.second);
      return std::move(file_);
    } catch (const YAML::Exception& error) {
      refuse(place_of(file_.path, error.mark.line + 1) + ": not YAML: " + error.msg);
    }
  }

 private:
  void read_entry(const YAML::Node& name, const YAML::Node& value) {
    const auto place = place_of(file_.path, name.Mark().line + 1);
    const auto text = name.IsScalar() ? name.Scalar() : "(no text)";
    const auto* const known = std::ranges::find_if(key_names, [&text](const KeyName& key) {
      return key.in_agent_file && equal_but_for_case(key.name, text);
    });
    if (known == key_names.end()) {
      file_.warnings.push_back(place + ": key \"" + text + "\" is not known, and left alone");
      return;
    }
    const std::string key(known->name);
    auto json = to_json(value, 0);
    // A list without items is none; anything else without a value says nothing (encoding/json of Go, on
    // null).
    if (json.is_null() && !key.ends_with("CIDRs")) return;
    if (json.is_null()) json = Json::array();
    file_.keys[key] = json;
    file_.places[key] = place;
    if (!value.IsSequence()) return;
    for (const auto& item : value) {
      if (item.IsScalar())
        file_.places[key + " " + item.Scalar()] = place_of(file_.path, item.Mark().line + 1);
    }
  }

  // Aliases can make a small file endless.
  Json to_json(const YAML::Node& node, int depth) {
    if (++nodes_ > most_nodes || depth > deepest_node) {
      refuse(place_of(file_.path, node.Mark().line + 1) + ": too much for a list of networks");
    }
    if (node.IsScalar()) return node.Tag() == "!" ? Json(node.Scalar()) : plain_scalar(node.Scalar());
    if (node.IsSequence()) {
      auto list = Json::array();
      for (const auto& item : node) list.push_back(to_json(item, depth + 1));
      return list;
    }
    if (node.IsMap()) {
      auto object = Json::object();
      for (const auto& entry : node)
        object[entry.first.IsScalar() ? entry.first.Scalar() : ""] = to_json(entry.second, depth + 1);
      return object;
    }
    return nullptr;
  }

  AgentFile file_;
  std::size_t nodes_ = 0;
};

void merge_value(const std::string& key, const Json& value, Json& into) {
  if (into.is_array() && value.is_array()) {
    for (const auto& item : value) {
      if (std::find(into.begin(), into.end(), item) == into.end()) into.push_back(item);
    }
  } else if (key.starts_with("masqLinkLocal") && into == true) {
    return;
  } else {
    into = value;
  }
}

void merge(AgentFile file, AgentFile& into) {
  for (const auto& [key, value] : file.keys.items()) {
    if (into.keys.contains(key)) {
      merge_value(key, value, into.keys[key]);
    } else {
      into.keys[key] = value;
    }
  }
  for (auto& [key, place] : file.places) into.places.insert_or_assign(key, place);
  std::ranges::move(file.warnings, std::back_inserter(into.warnings));
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().starts_with("ip-masq")) files.push_back(entry->path());
  }
  if (error) {
    throw Error(Kind::failed, "cannot read the folder " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(files);
  return files;
}

std::optional<AgentFile> read_one(const std::filesystem::path& path) {
  const auto text = os::read_file(path);
  return text ? parse_agent_file(*text, path) : std::nullopt;
}

}  // namespace

std::optional<AgentFile> parse_agent_file(std::string_view text, const std::filesystem::path& path) {
  return Reader(path).read(text);
}

std::optional<AgentFile> read_agent_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return read_one(path);
  std::optional<AgentFile> all;
  std::string problems;
  for (const auto& each : files_in(path)) {
    try {
      auto file = read_one(each);
      if (!file) continue;
      if (!all) all.emplace().path = path;
      merge(std::move(*file), *all);
    } catch (const Error& error) {
      problems += (problems.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  if (!problems.empty()) refuse(problems);
  return all;
}

}  // namespace ipmasq::config
