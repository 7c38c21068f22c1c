#pragma once

#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "error/error.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::test {

namespace fs = std::filesystem;

// A node's files; of a path that ends in "/" the folder alone, which a text
// "read-only" keeps from being written. A text "->PATH" is a link, "!" cannot be read.
class Files : public runtime::NodeFiles {
 public:
  Files(std::initializer_list<std::pair<const std::string, std::string>> files) : files_(files) {}

  void put(const std::string& path, const std::string& text) { files_[path] = text; }

  std::optional<std::string> text_of(const fs::path& path) const override {
    const auto found = files_.find(path);
    if (found == files_.end()) return std::nullopt;
    if (found->second == "!")
      throw Error(Kind::failed, "cannot read " + path.string() + ": Input/output error");
    return found->second;
  }

  std::vector<std::string> names_in(const fs::path& folder) const override {
    std::vector<std::string> names;
    for (const auto& [path, text] : files_) {
      if (fs::path(path).parent_path() == folder && !path.ends_with('/'))
        names.push_back(fs::path(path).filename());
    }
    return names;
  }

  std::vector<std::string> folders_in(const fs::path& folder) const override {
    std::set<std::string> names;
    for (const auto& [path, text] : files_) {
      const auto below = fs::path(path).lexically_relative(folder);
      if (std::distance(below.begin(), below.end()) > 1 && *below.begin() != "..")
        names.insert(*below.begin());
    }
    return {names.begin(), names.end()};
  }

  bool is_there(const fs::path& path) const override {
    return files_.contains(path) || files_.contains(path.string() + "/");
  }

  bool can_be_written(const fs::path& folder) const override {
    const auto found = files_.find(folder.string() + "/");
    return found != files_.end() && found->second != "read-only";
  }

  fs::path target_of(const fs::path& link) const override {
    const auto found = files_.find(link);
    return found != files_.end() && found->second.starts_with("->") ? found->second.substr(2) : "";
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace ipmasq::test
