// The files of a node that tell of its container runtimes: the one edge of this room.
#pragma once

#include <filesystem>
#include <map>
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

/// Those of this node. Each question is asked once, and answered the same ever after: what changes meanwhile
/// is for another object to see.
class RealNodeFiles : public NodeFiles {
 public:
  std::optional<std::string> text_of(const std::filesystem::path& path) const override;
  std::vector<std::string> names_in(const std::filesystem::path& folder) const override;
  std::vector<std::string> folders_in(const std::filesystem::path& folder) const override;
  bool is_there(const std::filesystem::path& path) const override;
  bool can_be_written(const std::filesystem::path& folder) const override;
  std::filesystem::path target_of(const std::filesystem::path& link) const override;

  /// What was asked for, there or not, but for whether it can be written: for who waits for changes of it.
  const std::set<std::filesystem::path>& asked() const { return asked_; }

 private:
  template <typename Answer>
  using Answers = std::map<std::filesystem::path, Answer>;

  template <typename Answer, typename Ask>
  Answer remember(Answers<Answer>& answers, const std::filesystem::path& path, Ask ask) const;

  mutable std::set<std::filesystem::path> asked_;
  mutable Answers<std::optional<std::string>> texts_;
  mutable Answers<std::vector<std::string>> names_;
  mutable Answers<std::vector<std::string>> folders_;
  mutable Answers<bool> are_there_;
  mutable Answers<std::filesystem::path> targets_;
};

}  // namespace ipmasq::runtime
