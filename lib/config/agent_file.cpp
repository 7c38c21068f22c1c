#include "config/agent_file.hpp"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "config/agent_folder.hpp"
#include "config/glob.hpp"
#include "config/key_names.hpp"
#include "config/netconf_reading.hpp"
#include "config/yaml.hpp"
#include "error/error.hpp"
#include "error/first_lines.hpp"
#include "os/file.hpp"
#include "os/node_name.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

constexpr int deepest_node = 8;
constexpr std::size_t most_sections = 256;
constexpr std::size_t longest_node_name = 253;  // RFC 1123, as Kubernetes has it

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

  std::optional<AgentFile> read(std::string_view text, const std::string& node) {
    const auto document = parse_yaml(text, file_.path);
    if (document == nullptr) return std::nullopt;
    if (document->kind != YamlNode::Kind::map) refuse_document(*document);
    read_keys(entries_of(*document, 0), file_);
    if (!sections_.empty()) lay_over(node);
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

  void read_keys(const std::vector<Entry>& entries, AgentFile& into) {
    std::map<std::string, std::size_t> lines;
    for (const auto& [name, value] : entries) {
      const auto* const known = known_key(name->text);
      if (known == nullptr) {
        warn(*name, *value);
        continue;
      }
      const std::string key(known->name);
      const auto [line, is_first] = lines.emplace(key, name->line);
      if (!is_first) refuse_twice(*name, line->second);
      key == "nodes" ? read_sections(*name, *value, into) : read_value(key, *name, *value, into);
    }
  }

  void read_value(const std::string& key, const YamlNode& name, const YamlNode& value, AgentFile& into) {
    const bool is_policies = key == "policies";
    auto json = is_policies ? policies_of(value, into) : to_json(value, 0);
    // A list without items is none; anything else without a value says nothing (encoding/json of Go, on
    // null).
    if (json.is_null() && !key.ends_with("CIDRs") && !is_policies) return;
    if (json.is_null()) {
      file_.slips.push_back(place_of(file_.path, name.line) + ": " + key + " has no items: write " + key +
                            ": [] for none");
      json = Json::array();
    }
    into.places[key] = place_of(file_.path, name.line);
    if (value.kind == YamlNode::Kind::list) {
      for (std::size_t index = 0; index < json.size(); ++index)
        into.places.emplace(item_key(key, json[index]), place_of(file_.path, value.items[index]->line));
    }
    into.keys[key] = std::move(json);
  }

  // Their keys are taken whatever their case, like those at the top.
  Json policies_of(const YamlNode& value, AgentFile& into) {
    if (value.kind != YamlNode::Kind::list) return to_json(value, 0);
    auto policies = Json::array();
    for (const auto& item : value.items)
      policies.push_back(item->kind == YamlNode::Kind::map ? policy_of(*item, into) : to_json(*item, 1));
    return policies;
  }

  Json policy_of(const YamlNode& item, AgentFile& into) {
    std::map<std::string, std::size_t> lines;
    Json::object_t policy;
    const auto entries = entries_of(item, 1);
    const auto* const name = value_of("name", entries);
    const auto within = policy_key(name != nullptr ? name->text : "");
    into.places.emplace(within, place_of(file_.path, item.line));
    for (const auto& [written, value] : entries) {
      const auto key = key_of_policy(written->text);
      const auto [line, is_first] = lines.emplace(key, written->line);
      if (!is_first) refuse_twice(*written, line->second);
      auto json = to_json(*value, 2);
      into.places.emplace(within + " " + key, place_of(file_.path, written->line));
      for (std::size_t index = 0; value->kind == YamlNode::Kind::list && index < json.size(); ++index)
        into.places.emplace(item_key(within + " " + key, json[index]),
                            place_of(file_.path, value->items[index]->line));
      policy.emplace_back(key, std::move(json));
    }
    return policy;
  }

  static const YamlNode* value_of(std::string_view key, const std::vector<Entry>& entries) {
    const auto found = std::ranges::find_if(
        entries, [key](const Entry& entry) { return equal_but_for_case(entry.key->text, key); });
    return found == entries.end() ? nullptr : &*found->value;
  }

  static std::string key_of_policy(const std::string& text) {
    for (const std::string_view name : {"name", "namespaces", "annotated"}) {
      if (equal_but_for_case(name, text)) return std::string(name);
    }
    const auto* const known = known_key(text);
    return known != nullptr ? std::string(known->name) : text;
  }

  void read_sections(const YamlNode& name, const YamlNode& value, const AgentFile& into) {
    if (&into != &file_)
      refuse_at(name.line, "nodes stands inside nodes: expected it at the top of the file");
    if (value.kind == YamlNode::Kind::scalar && scalar_value(value, file_.path).is_null()) {
      file_.slips.push_back(place_of(file_.path, name.line) +
                            ": nodes has no items: write nodes: [] for none");
      return;
    }
    if (value.kind != YamlNode::Kind::list)
      refuse_at(name.line, std::string("nodes is no list: ") + expected_section);
    if (value.items.size() > most_sections)
      refuse_at(name.line, "nodes has " + std::to_string(value.items.size()) + " items: expected at most " +
                               std::to_string(most_sections));
    for (const auto& item : value.items) read_section(*item);
  }

  void read_section(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::map)
      refuse_at(node.line, std::string("an item of nodes is no map: ") + expected_section);
    Section section{.keys = {.path = file_.path}};
    auto entries = entries_of(node, 2);
    const auto match = std::ranges::find_if(
        entries, [](const Entry& entry) { return equal_but_for_case(entry.key->text, "match"); });
    if (match == entries.end())
      refuse_at(node.line, std::string("an item of nodes has no match: ") + expected_section);
    section.match = read_match(*match->value);
    entries.erase(match);
    read_keys(entries, section.keys);
    sections_.push_back(std::move(section));
  }

  std::string read_match(const YamlNode& value) {
    constexpr auto letters = "abcdefghijklmnopqrstuvwxyz0123456789-._*?";
    const bool is_name = value.kind == YamlNode::Kind::scalar && !value.text.empty() &&
                         value.text.size() <= longest_node_name &&
                         value.text.find_first_not_of(letters) == std::string::npos;
    if (!is_name)
      refuse_at(value.line, "match is " + cni::excerpt(to_json(value, 2)) +
                                ": expected the name of a node in lower case, in which * stands for any text "
                                "and ? for a letter, such as \"gpu-*\"");
    return value.text;
  }

  // A section for other nodes is as wrong as one for this one, and told on all of them.
  void lay_over(const std::string& node) {
    std::string problems;
    const auto check = [&problems](const AgentFile& keys) {
      try {
        check_values(keys);
      } catch (const Error& error) {
        problems += (problems.empty() ? "" : "; ") + std::string(error.what());
      }
    };
    check(file_);
    for (const auto& section : sections_) check(section.keys);
    if (!problems.empty()) refuse(problems);
    file_.node = node;
    for (auto& section : sections_) {
      if (matches_glob(section.match, node)) replace_keys(std::move(section.keys));
    }
  }

  void replace_keys(AgentFile section) {
    for (const auto& [name, value] : section.keys.items()) {
      const std::string& key = name;
      const auto items = key + " ";
      std::erase_if(file_.places,
                    [&](const auto& place) { return place.first == key || place.first.starts_with(items); });
      file_.keys[key] = value;
    }
    file_.places.merge(section.places);
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

  struct Section {
    std::string match = {};
    AgentFile keys = {};
  };

  static constexpr auto expected_section =
      "expected match and keys, such as {match: \"gpu-*\", nonMasqueradeCIDRs: [10.0.0.0/8]}";

  AgentFile file_;
  std::vector<Section> sections_;  ///< of `nodes`, in their order
  std::size_t nodes_ = 0;
};

}  // namespace

std::optional<AgentFile> parse_agent_file(std::string_view text, const std::filesystem::path& path,
                                          const std::string& node) {
  return Reader(path).read(text, node);
}

std::optional<AgentFile> read_agent_file(const std::filesystem::path& path) {
  std::error_code unknown;  // what cannot be looked at is told when it is read
  const auto type = std::filesystem::status(path, unknown).type();
  if (type == std::filesystem::file_type::directory) return read_agent_folder(path);
  if (type == std::filesystem::file_type::not_found && os::is_there(path))
    return AgentFile{.path = path, .slips = {path.string() + " is a link that leads nowhere"}};
  if (type != std::filesystem::file_type::regular && type != std::filesystem::file_type::none &&
      type != std::filesystem::file_type::not_found)
    refuse(path.string() + " is neither a file nor a folder of files");
  const auto text = os::read_file(path);
  if (!text) return std::nullopt;
  auto file = parse_agent_file(*text, path, os::node_name());
  return file ? file : AgentFile{.path = path, .says_nothing = true};
}

std::string told_of_nothing(const std::filesystem::path& path) {
  return path.string() +
         " says nothing any more: expected keys such as nonMasqueradeCIDRs; where none is meant, write {}, "
         "or take "
         "the file away";
}

std::string policy_key(const std::string& name) {
  return "policies " + name;
}

std::string item_key(const std::string& key, const cni::Json& item) {
  return key + " " + (item.is_string() ? item.get<std::string>() : cni::to_text(item));
}

}  // namespace ipmasq::config
