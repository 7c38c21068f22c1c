// The files of a node that tell of its container runtimes: the one edge of this room.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ipmasq::runtime {

/// Where something may be there and cannot be looked at, each throws Error.
class NodeFiles {
 public:
  NodeFiles() = default;
  NodeFiles(const NodeFiles&) = delete;
  NodeFiles& operator=(const NodeFiles&) = delete;
  NodeFiles(NodeFiles&&) = delete;
  NodeFiles& operator=(NodeFiles&&) = delete;
  virtual ~NodeFiles() = default;

  /// All of a file; nullopt where there is none.
  virtual std::optional<std::string> text_of(const std::filesystem::path& path) const = 0;

  /// Of what is no folder itself, sorted by their bytes; none where there is no such folder.
  virtual std::vector<std::string> names_in(const std::filesystem::path& folder) const = 0;

  /// Folders in it, links to some among them, in the same order; none where there is no such folder.
  virtual std::vector<std::string> folders_in(const std::filesystem::path& folder) const = 0;

  /// A file or a folder.
  virtual bool is_there(const std::filesystem::path& path) const = 0;

  /// Of a folder that is there: whether files can be made in it, as far as its mode and file system tell.
  virtual bool can_be_written(const std::filesystem::path& folder) const = 0;

  /// What a link says that it leads to; empty where there is no link.
  virtual std::filesystem::path target_of(const std::filesystem::path& link) const = 0;
};

/// Those of this node.
class RealNodeFiles : public NodeFiles {
 public:
  bool can_be_written(const std::filesystem::path& folder) const override;
  std::optional<std::string> text_of(const std::filesystem::path& path) const override;
  std::vector<std::string> names_in(const std::filesystem::path& folder) const override;
  std::vector<std::string> folders_in(const std::filesystem::path& folder) const override;
  bool is_there(const std::filesystem::path& path) const override;
  std::filesystem::path target_of(const std::filesystem::path& link) const override;
};

/// The same, and remembers what was asked for, there or not: for who waits for changes of it.
class AskedNodeFiles : public RealNodeFiles {
 public:
  std::optional<std::string> text_of(const std::filesystem::path& path) const override;
  std::vector<std::string> names_in(const std::filesystem::path& folder) const override;
  std::vector<std::string> folders_in(const std::filesystem::path& folder) const override;
  bool is_there(const std::filesystem::path& path) const override;
  std::filesystem::path target_of(const std::filesystem::path& link) const override;

  const std::set<std::filesystem::path>& asked() const { return asked_; }

 private:
  mutable std::set<std::filesystem::path> asked_;
};

}  // namespace ipmasq::runtime
