#include "config/yaml.hpp"

#include <yaml.h>

#include <algorithm>
#include <map>
#include <new>
#include <optional>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::config {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, std::size_t line, const std::string& problem) {
  throw Error(Kind::wrong_config, place_of(path, line) + ": " + problem);
}

std::string_view line_of(std::string_view text, std::size_t number) {
  for (; number > 1; --number) {
    const auto end = text.find_first_of("\r\n");
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return text.substr(0, text.find_first_of("\r\n"));
}

std::string_view without_indentation(std::string_view line) {
  return line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
}

bool has_dash_without_space(std::string_view line) {
  const auto item = without_indentation(line);
  return item.size() > 1 && item[0] == '-' && item[1] != ' ' && item[1] != '-';
}

// Such as the dash or the space of a word processor.
bool begins_with_another_sign(std::string_view line) {
  const auto rest = without_indentation(line);
  return !rest.empty() && static_cast<unsigned char>(rest[0]) >= 0x80U;
}

// What people most often did where libyaml says `problem` of `line`; empty where nobody knows.
std::string advice(std::string_view problem, std::string_view line) {
  const auto says = [problem](std::string_view part) { return problem.find(part) != std::string_view::npos; };
  if (says("tab character") || (says("cannot start any token") && line.find('\t') != std::string_view::npos))
    return "indent with spaces, not with tabs";
  if (begins_with_another_sign(line))
    return "type the first sign of the line anew: it is neither \"-\" nor a space";
  if (has_dash_without_space(line)) return "an item of a list needs a space after its \"-\"";
  if (says("cannot start any token")) return "put text that begins with @, ` or % in quotes";
  if (says("mapping values are not allowed"))
    return "indent the keys of one map alike, and put text that holds \": \" or ends with \":\" in quotes";
  if (says("did not find expected key") || says("'-' indicator") || says("could not find expected ':'"))
    return "indent the lines of one list or map alike";
  if (says("',' or ']'")) return "close each [ with a ]";
  if (says("',' or '}'")) return "close each { with a }";
  if (says("<document start>")) return "indent the keys alike, and put nothing after the last }";
  if (says("unexpected ':'")) return "put text that ends with \":\" in quotes";
  if (says("alphabetic or numeric")) return "put text that begins with * or & in quotes";
  if (says("control characters")) return "remove it";
  if (says("unexpected end of stream")) return "close the quotes";
  if (says("expected node content") && line.empty()) return "close each [ and {";
  if (says("expected node content")) return "put text that begins with a sign of YAML's in quotes";
  if (says("escape c")) return "write a backslash in double quotes as \\\\";
  if (says("block sequence entries")) return "begin the items of a list on a line of their own";
  if (says("directive") || says("incompatible")) return "remove the line that begins with %";
  if (says("UTF-8")) return "save the file as UTF-8";
  return "";
}

class Event {
 public:
  explicit Event(yaml_event_t event) : event_(event) {}
  Event(const Event&) = delete;
  Event(Event&&) = delete;
  Event& operator=(const Event&) = delete;
  Event& operator=(Event&&) = delete;
  ~Event() { yaml_event_delete(&event_); }

  const yaml_event_t& operator*() const { return event_; }
  std::size_t line() const { return event_.start_mark.line + 1; }

 private:
  yaml_event_t event_;
};

// libyaml's events of one text.
class Events {
 public:
  Events(std::string_view text, const std::filesystem::path& path) : text_(text), path_(path) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    yaml_parser_set_input_string(
        &parser_,
        reinterpret_cast<const unsigned char*>(text.data()),  // NOLINT: bytes, as libyaml wants them
        text.size());
  }
  Events(const Events&) = delete;
  Events(Events&&) = delete;
  Events& operator=(const Events&) = delete;
  Events& operator=(Events&&) = delete;
  ~Events() { yaml_parser_delete(&parser_); }

  Event next() {
    yaml_event_t event{};
    if (yaml_parser_parse(&parser_, &event) == 0) refuse_text();
    return Event(event);
  }

 private:
  [[noreturn]] void refuse_text() const {
    if (parser_.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
    const std::string_view problem = parser_.problem != nullptr ? parser_.problem : "";
    if (parser_.error == YAML_READER_ERROR) refuse_bytes(problem);
    const auto line = parser_.problem_mark.line + 1;
    std::string said =
        "not YAML: " + std::string(problem) + " at column " + std::to_string(parser_.problem_mark.column + 1);
    auto meant = line;
    const bool begins_elsewhere = parser_.context_mark.index != parser_.problem_mark.index;
    if (parser_.context != nullptr && begins_elsewhere) {
      meant = parser_.context_mark.line + 1;
      said += ", " + std::string(parser_.context) + " that begins in line " + std::to_string(meant);
    }
    // Of a line that has no ':' it is known only behind it; of an indentation, at its end.
    const bool begins_it = problem.find("could not find") != std::string_view::npos;
    const auto hint = advice(problem, line_of(text_, begins_it ? meant : line));
    refuse(path_, line, said + (hint.empty() ? "" : ": " + hint));
  }

  [[noreturn]] void refuse_bytes(std::string_view problem) const {
    const auto before = text_.substr(0, parser_.problem_offset);
    const auto line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1;
    const auto hint = advice(problem, "");
    refuse(path_, line,
           "not YAML: " + std::string(problem) + " at byte " + std::to_string(parser_.problem_offset + 1) +
               " of the file" + (hint.empty() ? "" : ": " + hint));
  }

  std::string_view text_;
  const std::filesystem::path& path_;
  yaml_parser_t parser_{};
};

std::string text_of(const yaml_char_t* text) {
  return text == nullptr ? "" : reinterpret_cast<const char*>(text);  // NOLINT: as libyaml has it
}

class Composer {
 public:
  Composer(std::string_view text, const std::filesystem::path& path) : events_(text, path), path_(path) {}

  YamlNodePointer only_document() {
    static_cast<void>(events_.next());  // the stream's start
    YamlNodePointer document;
    for (bool is_first = true;; is_first = false) {
      const auto start = events_.next();
      if ((*start).type == YAML_STREAM_END_EVENT) return document;
      anchors_.clear();
      auto node = compose(events_.next(), 0);
      static_cast<void>(events_.next());  // the document's end
      if (is_null(*node)) node = nullptr;
      if (!is_first && node != nullptr)
        refuse(path_, start.line(), "a second document: expected one, without a line \"---\" between keys");
      if (is_first) document = node;
    }
  }

 private:
  bool is_null(const YamlNode& node) const {
    return node.kind == YamlNode::Kind::scalar && scalar_value(node, path_).is_null();
  }

  YamlNodePointer compose(const Event& event, int depth) {
    if (++nodes_ > most_yaml_nodes || depth > deepest_yaml)
      refuse(path_, event.line(), "too much for a list of networks");
    switch ((*event).type) {
      case YAML_ALIAS_EVENT:
        return anchored(text_of((*event).data.alias.anchor), event.line());
      case YAML_SEQUENCE_START_EVENT: {
        const auto& start = (*event).data.sequence_start;
        return compose_items({.kind = YamlNode::Kind::list, .line = event.line(), .tag = text_of(start.tag)},
                             text_of(start.anchor), YAML_SEQUENCE_END_EVENT, depth);
      }
      case YAML_MAPPING_START_EVENT: {
        const auto& start = (*event).data.mapping_start;
        return compose_items({.kind = YamlNode::Kind::map, .line = event.line(), .tag = text_of(start.tag)},
                             text_of(start.anchor), YAML_MAPPING_END_EVENT, depth);
      }
      default:
        return compose_scalar(event);
    }
  }

  YamlNodePointer compose_scalar(const Event& event) {
    const auto& scalar = (*event).data.scalar;
    auto node = std::make_shared<const YamlNode>(YamlNode{
        .line = event.line(),
        .tag = text_of(scalar.tag),
        .text = {reinterpret_cast<const char*>(scalar.value), scalar.length},  // NOLINT: as libyaml has it
        .is_quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE});
    if (scalar.anchor != nullptr) anchors_[text_of(scalar.anchor)] = node;
    return node;
  }

  YamlNodePointer compose_items(YamlNode node, const std::string& anchor, yaml_event_type_t end, int depth) {
    node.is_named = !anchor.empty();
    if (node.is_named) anchors_[anchor] = nullptr;
    for (;;) {
      const auto event = events_.next();
      if ((*event).type == end) break;
      node.items.push_back(compose(event, depth + 1));
    }
    auto composed = std::make_shared<const YamlNode>(std::move(node));
    if (composed->is_named) anchors_[anchor] = composed;
    return composed;
  }

  // An anchor can be set again: the last one before the alias is meant.
  YamlNodePointer anchored(const std::string& name, std::size_t line) const {
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      refuse(path_, line,
             "not YAML: *" + name + " names nothing: expected &" + name +
                 " before it, or quotes around text that begins with \"*\"");
    }
    if (found->second == nullptr) refuse(path_, line, "not YAML: &" + name + " holds itself, as *" + name);
    return found->second;
  }

  Events events_;
  const std::filesystem::path& path_;
  std::map<std::string, YamlNodePointer> anchors_;  ///< without a node while what they name is being read
  std::size_t nodes_ = 0;
};

}  // namespace

std::string place_of(const std::filesystem::path& path, std::size_t line) {
  return path.string() + ", line " + std::to_string(line);
}

YamlNodePointer parse_yaml(std::string_view text, const std::filesystem::path& path) {
  return Composer(text, path).only_document();
}

}  // namespace ipmasq::config
