// What keeps a file from being made, replaced or taken away by who may write to its folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace ipmasq::os {

/// As far as attributes (chattr(1)) and modes tell.
struct Obstacle {
  enum class Kind {
    immutable,
    append_only,
    sticky,  ///< the folder, where neither it nor the file is ours
  };

  Kind kind = Kind::immutable;
  std::filesystem::path of = {};  ///< the file, or its folder

  bool operator==(const Obstacle&) const = default;

  /// "/etc/cni/net.d/10-flannel.conflist is immutable (chattr +i)"
  std::string told() const;
  /// What chattr(1) takes to take it off: "-i"; empty where it is none of its attributes.
  std::string option() const;
  std::string fix() const;
};

/// Of the file that `path` leads to, whether it is there or not.
std::optional<Obstacle> obstacle_before(const std::filesystem::path& path);

/// Throws Error{failed}, with what to do, where there is one.
void check_no_obstacle_before(const std::filesystem::path& path);

/// What to do where making, replacing or removing a file failed with `number`; empty where nothing is known.
std::string fix_of(int number, const std::filesystem::path& path);

/// As throw_errno, and says what to do.
[[noreturn]] void throw_errno_of(const std::string& tried, const std::filesystem::path& path);

}  // namespace ipmasq::os
