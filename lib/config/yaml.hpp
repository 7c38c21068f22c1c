// YAML as libyaml reads it, which Kubernetes' own parser descends from.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::config {

struct YamlNode;
using YamlNodePointer = std::shared_ptr<const YamlNode>;

/// A value and where it stands. An alias is the node that its anchor names.
struct YamlNode {
  enum class Kind { scalar, list, map };

  Kind kind = Kind::scalar;
  std::size_t line = 1;
  std::string tag = {};    ///< written in full; empty where there is none
  std::string text = {};   ///< of a scalar
  bool is_quoted = false;  ///< a scalar that is text whatever it looks like: in quotes, or a block of lines
  bool is_named = false;   ///< by an anchor
  std::vector<YamlNodePointer> items = {};  ///< of a list; of a map keys and values in turns
};

/// Nodes and levels of a file, far more than lists of networks need.
inline constexpr std::size_t most_yaml_nodes = 50'000;
inline constexpr int deepest_yaml = 64;

/// The file's one document; nullptr where it says nothing (empty, comments only, null). Throws
/// Error{wrong_config} that names `path`, the line, and what to write instead: for what libyaml refuses, an
/// alias without anchor or of what it stands in, a second document, too many nodes or levels.
YamlNodePointer parse_yaml(std::string_view text, const std::filesystem::path& path);

/// "FILE, line N"
std::string place_of(const std::filesystem::path& path, std::size_t line);

/// A scalar by the rules of go-yaml, which Kubernetes uses (YAML 1.1 without its base 60): null, true, yes,
/// on, 0x10, 010, 1_000; what has a tag of its own is text. Throws Error{wrong_config} where the text is not
/// of its tag's kind.
cni::Json scalar_value(const YamlNode& node, const std::filesystem::path& path);

}  // namespace ipmasq::config
