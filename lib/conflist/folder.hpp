// The folder that a plan is made for, and the names that install gives files beside others there.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conflist/conflist.hpp"
#include "conflist/plan.hpp"

namespace ipmasq::conflist {

inline constexpr std::string_view backup_suffix = ".before-ip-masq";
inline constexpr std::string_view entry_suffix = ".entry-of-ip-masq";
/// What Cilium and multus put behind the name of a file to put it out of force.
inline constexpr std::array<std::string_view, 2> aside_suffixes{".cilium_bak", ".old"};

std::string backup_of(std::string_view name);
std::string kept_entry_of(std::string_view name);
std::string_view stem_of(std::string_view name);

/// Where the list that is made of a single plugin can stand: both come where the single one did, or next to
/// it.
std::array<std::string, 2> list_names_of(std::string_view single);

/// What the list of this name can have been made of.
std::array<std::string, 3> single_names_of(std::string_view list);

/// Whether a file of this name is one of those that install puts beside others.
bool is_beside(std::string_view name);

/// Whether it is one that was renamed to put it out of force.
bool is_put_aside(std::string_view name);

/// Its files as they were read; the caller keeps them.
class Folder {
 public:
  Folder(std::string path, const std::vector<File>& files) : path_(std::move(path)), files_(files) {}

  const std::string& path() const { return path_; }
  std::string in(std::string_view name) const { return path_ + "/" + std::string(name); }
  bool has(std::string_view name) const { return find(name) != nullptr; }

  /// So that nothing is lost that somebody writes meanwhile.
  void tell_what_was_read(Plan& plan) const;

  /// nullopt where there is none. Throws Error where there is one that could not be read.
  std::optional<std::string> text(std::string_view name) const;

 private:
  std::optional<std::string> readable_text(std::string_view name) const;
  const File* find(std::string_view name) const;

  std::string path_;
  const std::vector<File>& files_;
};

/// "/etc/cni/net.d/10-x.conflist: it has no \"name\""
std::string told_of(const Folder& folder, const Network& network);

/// Why a file that has hard links is not written: who writes a file anew makes another of it.
std::string told_of_links(const Folder& folder, const Network& network);

/// What a file of that name and text is.
Network network_of(std::string name, std::string text);

/// The list that install makes of a single plugin, and whether `list` is that, whatever the keys of our entry
/// are.
std::string made_of(const std::string& single, const std::string& entry);
bool is_made_of(const std::string& list, const std::string& single);
bool can_be_made_of(const std::string& single);

}  // namespace ipmasq::conflist
