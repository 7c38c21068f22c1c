#include "config/agent_file.hpp"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "config/key_names.hpp"
#include "config/netconf.hpp"
#include "config/yaml.hpp"
#include "error/error.hpp"
#include "error/first_lines.hpp"
#include "os/file.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

constexpr int deepest_node = 8;
constexpr std::size_t most_files = 64;
constexpr std::size_t largest_folder = std::size_t{4} << 20U;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(Kind::wrong_config, problem);
}

const KeyName* known_key(std::string_view text) {
  const auto* const known = std::ranges::find_if(key_names, [text](const KeyName& key) {
    return key.in_agent_file && equal_but_for_case(key.name, text);
  });
  return known == key_names.end() ? nullptr : known;
}

struct Entry {
  YamlNodePointer key;  ///< a scalar
  YamlNodePointer value;
};

bool is_merge(const YamlNode& key) {
  return key.kind == YamlNode::Kind::scalar && key.text == "<<" && !key.is_quoted && key.tag.empty();
}

// Turns a document into JSON, and remembers the lines of its keys and items.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) { file_.path = path; }

  std::optional<AgentFile> read(std::string_view text) {
    const auto document = parse_yaml(text, file_.path);
    if (document == nullptr) return std::nullopt;
    if (document->kind != YamlNode::Kind::map) refuse_document(*document);
    for (const auto& entry : entries_of(*document, 0)) read_entry(*entry.key, *entry.value);
    file_.slips = first_lines(std::move(file_.slips), " keys of " + file_.path.string() + " are misspelt");
    file_.warnings = first_lines(std::move(file_.warnings),
                                 " keys of " + file_.path.string() + " are not known, and left alone");
    return std::move(file_);
  }

 private:
  [[noreturn]] void refuse_at(std::size_t line, const std::string& problem) const {
    refuse(place_of(file_.path, line) + ": " + problem);
  }

  [[noreturn]] void refuse_document(const YamlNode& document) const {
    std::string problem = "expected keys such as nonMasqueradeCIDRs";
    if (document.text.find(':') != std::string::npos) problem += ", each with a space after its \":\"";
    refuse_at(document.line, problem);
  }

  // Those of the map itself stand before those that it merges, and of these the first.
  std::vector<Entry> entries_of(const YamlNode& map, int depth) {
    std::map<std::string, std::size_t> lines;
    std::vector<Entry> entries;
    add_entries(map, depth, lines, entries);
    return entries;
  }

  void add_entries(const YamlNode& map, int depth, std::map<std::string, std::size_t>& lines,
                   std::vector<Entry>& entries) {
    count(map, depth);
    std::set<std::string> own;
    for (std::size_t index = 0; index + 1 < map.items.size(); index += 2) {
      const auto& key = map.items[index];
      count(*key, depth);
      if (is_merge(*key)) continue;
      check_key(*key);
      if (!own.insert(key->text).second) refuse_twice(*key, lines.at(key->text));
      if (lines.emplace(key->text, key->line).second) entries.push_back({key, map.items[index + 1]});
    }
    for (std::size_t index = 0; index + 1 < map.items.size(); index += 2) {
      if (is_merge(*map.items[index])) add_merged(*map.items[index + 1], depth, lines, entries);
    }
  }

  void add_merged(const YamlNode& merged, int depth, std::map<std::string, std::size_t>& lines,
                  std::vector<Entry>& entries) {
    const auto add = [&](const YamlNode& map) {
      if (map.kind != YamlNode::Kind::map)
        refuse_at(map.line, "not YAML: << merges what is no map: expected a map or a list of maps");
      add_entries(map, depth + 1, lines, entries);
    };
    if (merged.kind != YamlNode::Kind::list) return add(merged);
    for (const auto& each : merged.items) add(*each);
  }

  void check_key(const YamlNode& key) const {
    if (key.kind == YamlNode::Kind::scalar && (key.is_quoted || !key.text.empty())) return;
    refuse_at(key.line,
              "a key that is no text: expected keys such as nonMasqueradeCIDRs (is this a template that "
              "nothing filled in?)");
  }

  [[noreturn]] void refuse_twice(const YamlNode& key, std::size_t first) const {
    refuse_at(key.line, "key " + cni::excerpt(key.text) + " stands here again, after line " +
                            std::to_string(first) + ": expected it once");
  }

  void read_entry(const YamlNode& name, const YamlNode& value) {
    const auto* const known = known_key(name.text);
    if (known == nullptr) return warn(name, value);
    const std::string key(known->name);
    const auto [line, is_first] = lines_.emplace(key, name.line);
    if (!is_first) refuse_twice(name, line->second);
    auto json = to_json(value, 0);
    // A list without items is none; anything else without a value says nothing (encoding/json of Go, on
    // null).
    if (json.is_null() && !key.ends_with("CIDRs")) return;
    if (json.is_null()) {
      file_.slips.push_back(place_of(file_.path, name.line) + ": " + key + " has no items: write " + key +
                            ": [] for none");
      json = Json::array();
    }
    file_.places[key] = place_of(file_.path, name.line);
    if (value.kind == YamlNode::Kind::list) {
      for (std::size_t index = 0; index < json.size(); ++index)
        file_.places.emplace(item_key(key, json[index]), place_of(file_.path, value.items[index]->line));
    }
    file_.keys[key] = std::move(json);
  }

  // Keys of ours that stand inside another one would be as good as not written.
  void warn(const YamlNode& name, const YamlNode& value) {
    const auto text = cni::excerpt(name.text);
    if (const auto inner = key_of_ours_in(value, 0)) {
      refuse_at(name.line, "key " + text + " is not known, and holds " + std::string(*inner) +
                               ": expected it at the top of the file, without indentation");
    }
    const auto told = place_of(file_.path, name.line) + ": key " + text + " is not known";
    if (const auto meant = meant_by(name.text, KeyHolder::agent_file)) {
      file_.slips.push_back(told + ": did you mean \"" + std::string(*meant) + "\"?");
    } else {
      file_.warnings.push_back(told + ", and left alone");
    }
  }

  // As a key or at the start of a line of text; of a map that has a name to be merged by, nothing is meant
  // there.
  static std::optional<std::string_view> key_of_ours_in(const YamlNode& value, int depth) {
    if (depth > deepest_node || value.is_named) return std::nullopt;
    if (value.kind == YamlNode::Kind::scalar) return key_of_ours_in(value.text);
    if (value.kind == YamlNode::Kind::list) return std::nullopt;
    for (std::size_t index = 0; index + 1 < value.items.size(); index += 2) {
      if (const auto* const known = known_key(value.items[index]->text)) return known->name;
      if (const auto inner = key_of_ours_in(*value.items[index + 1], depth + 1)) return inner;
    }
    return std::nullopt;
  }

  static std::optional<std::string_view> key_of_ours_in(const std::string& text) {
    for (const auto& key : key_names) {
      const auto found = text.find(std::string(key.name) + ":");
      const bool begins_a_line = found == 0 || (found != std::string::npos && text[found - 1] == '\n');
      if (begins_a_line && key.in_agent_file) return key.name;
    }
    return std::nullopt;
  }

  // Aliases can make a small file endless.
  void count(const YamlNode& node, int depth) {
    if (++nodes_ > most_yaml_nodes || depth > deepest_node)
      refuse_at(node.line, "too much for a list of networks");
  }

  Json to_json(const YamlNode& node, int depth) {
    count(node, depth);
    if (node.kind == YamlNode::Kind::scalar) return scalar_value(node, file_.path);
    if (node.kind == YamlNode::Kind::list) {
      auto list = Json::array();
      for (const auto& item : node.items) list.push_back(to_json(*item, depth + 1));
      return list;
    }
    Json::object_t object;
    for (const auto& entry : entries_of(node, depth))
      object.emplace_back(entry.key->text, to_json(*entry.value, depth + 1));
    return object;
  }

  AgentFile file_;
  std::map<std::string, std::size_t> lines_;  ///< of the keys that were read
  std::size_t nodes_ = 0;
};

// Those of `from` that `into` lacks.
void append(const Json& from, Json& into) {
  std::set<std::string> there;
  for (const auto& item : into) there.insert(item.dump());
  for (const auto& item : from) {
    if (there.insert(item.dump()).second) into.push_back(item);
  }
}

void merge_value(const std::string& key, const Json& value, const std::string& place, AgentFile& into) {
  auto& there = into.keys[key];
  if (there.is_array() && value.is_array()) {
    append(value, there);
    into.places[key] = into.path.string();
  } else if (!key.starts_with("masqLinkLocal") || there != true) {
    there = value;
    into.places[key] = place;
  }
}

void merge(AgentFile file, AgentFile& into) {
  for (const auto& [key, value] : file.keys.items()) {
    if (into.keys.contains(key)) {
      merge_value(key, value, file.places.at(key), into);
    } else {
      into.keys[key] = value;
    }
  }
  into.places.merge(file.places);
  std::ranges::move(file.warnings, std::back_inserter(into.warnings));
  std::ranges::move(file.slips, std::back_inserter(into.slips));
}

struct Folder {
  std::vector<std::filesystem::path> files;
  std::set<std::string> others;  ///< names that are not read, but for hidden ones
  std::vector<std::string> warnings;
};

Folder files_in(const std::filesystem::path& path) {
  std::error_code error;
  Folder folder;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (!name.starts_with("ip-masq")) {
      if (!name.starts_with('.') && folder.others.size() < most_files) folder.others.insert(name);
      continue;
    }
    std::error_code unknown;  // what cannot be looked at is told when it is read
    const auto type = entry->status(unknown).type();
    if (type == std::filesystem::file_type::regular || type == std::filesystem::file_type::none) {
      folder.files.push_back(entry->path());
    } else {
      folder.warnings.push_back(entry->path().string() + " is no regular file, and left alone");
    }
    if (folder.files.size() > most_files)
      refuse("the folder " + path.string() + " has more than " + std::to_string(most_files) +
             " files whose name begins with ip-masq");
  }
  if (error) throw Error(Kind::failed, "cannot read the folder " + path.string() + ": " + error.message());
  std::ranges::sort(folder.files);
  std::ranges::sort(folder.warnings);
  folder.warnings = first_lines(std::move(folder.warnings), " in the folder " + path.string());
  return folder;
}

[[noreturn]] void refuse_all(std::vector<std::string> problems) {
  std::string told;
  for (const auto& problem : first_lines(std::move(problems), " files")) {
    told += (told.empty() ? "" : "; ") + problem;
  }
  refuse(told);
}

std::optional<AgentFile> read_folder(const std::filesystem::path& path) {
  const auto folder = files_in(path);
  AgentFile all{.path = path, .warnings = folder.warnings};
  if (folder.files.empty() && !folder.others.empty()) {
    const auto& other = *folder.others.begin();
    all.slips.push_back(
        path.string() + " has no file whose name begins with ip-masq, but " + cni::excerpt(other) +
        ": expected ip-masq-agent (of a ConfigMap: items: [{key: " + "..., path: ip-masq-agent}])");
  }
  const bool is_told = !all.warnings.empty() || !all.slips.empty();
  bool says_something = false;
  std::vector<std::string> problems;
  std::size_t size = 0;
  for (const auto& each : folder.files) {
    const auto text = os::read_file(each);
    size += text ? text->size() : 0;
    if (size > largest_folder) refuse("the files of the folder " + path.string() + " are larger than 4 MiB");
    try {
      auto file = text ? parse_agent_file(*text, each) : std::nullopt;
      if (!file) continue;
      check_values(*file);
      says_something = true;
      merge(std::move(*file), all);
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  }
  if (!problems.empty()) refuse_all(problems);
  all.warnings = first_lines(std::move(all.warnings), " in the folder " + path.string());
  all.says_nothing = !says_something && !folder.files.empty();
  return says_something || is_told || all.says_nothing ? std::optional(std::move(all)) : std::nullopt;
}

}  // namespace

std::optional<AgentFile> parse_agent_file(std::string_view text, const std::filesystem::path& path) {
  return Reader(path).read(text);
}

std::optional<AgentFile> read_agent_file(const std::filesystem::path& path) {
  std::error_code unknown;  // what cannot be looked at is told when it is read
  const auto type = std::filesystem::status(path, unknown).type();
  if (type == std::filesystem::file_type::directory) return read_folder(path);
  if (type == std::filesystem::file_type::not_found && os::is_there(path))
    return AgentFile{.path = path, .slips = {path.string() + " is a link that leads nowhere"}};
  if (type != std::filesystem::file_type::regular && type != std::filesystem::file_type::none &&
      type != std::filesystem::file_type::not_found)
    refuse(path.string() + " is neither a file nor a folder of files");
  const auto text = os::read_file(path);
  if (!text) return std::nullopt;
  auto file = parse_agent_file(*text, path);
  return file ? file : AgentFile{.path = path, .says_nothing = true};
}

std::string told_of_nothing(const std::filesystem::path& path) {
  return path.string() +
         " says nothing any more: expected keys such as nonMasqueradeCIDRs; where none is meant, write {}, "
         "or take "
         "the file away";
}

std::string item_key(const std::string& key, const cni::Json& item) {
  return key + " " + (item.is_string() ? item.get<std::string>() : cni::to_text(item));
}

}  // namespace ipmasq::config
