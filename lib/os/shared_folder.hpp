// Files in folders that other programs write into as well: what is not ours stays as it is, owner, mode and
// links included, whatever moment the power goes.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/file_lock.hpp"

namespace ipmasq::os {

/// Holds other calls of this program off the folder, and takes away what one that was cut short has left
/// there. Throws Error.
class SharedFolder {
 public:
  explicit SharedFolder(const std::filesystem::path& folder);

 private:
  FileLock lock_;
};

/// Takes away what a call that was cut short has left in the folder, and touches nothing where nothing was.
/// Throws Error.
void tidy_up(const std::filesystem::path& folder);

/// What that would take away; nothing where there is no such folder. Throws Error.
std::vector<std::filesystem::path> left_unfinished(const std::filesystem::path& folder);

/// What was read under a name; nullopt: nothing was there.
using Before = std::optional<std::string>;

/// All of these return false, having changed nothing that stays, where somebody else has put something there
/// since it was read, or is about to write into it: whoever planned by what was read has to plan anew. Where
/// the file system cannot exchange files (renameat2(2)) what stands there is looked at just before.

/// The file is the old one or all of the new one at any time, and is on the disk on return. Owner, mode and
/// extended attributes stay; where `path` is a link, what it leads to is written. A new file gets those of
/// `like`, which has to be there. Throws Error, also for a file that cannot be replaced since it is mounted
/// by itself.
[[nodiscard]] bool write_shared(const std::filesystem::path& path, std::string_view text,
                                const Before& before, const std::filesystem::path& like);

/// The same with the bytes of another file, of any size, and mode 0755; where `path` is a link, the link is
/// replaced. `may_go`: asked of the file that is replaced, under whatever name.
[[nodiscard]] bool copy_program_shared(const std::filesystem::path& from, const std::filesystem::path& path,
                                       const std::function<bool(const std::filesystem::path&)>& may_go);

/// `text`: what was read under `from`; `before`: under `to`, and is replaced. Throws Error.
[[nodiscard]] bool rename_shared(const std::filesystem::path& from, const std::filesystem::path& to,
                                 const std::string& text, const Before& before);

/// `from` takes the place of whatever is called `to`, a link as the link. Throws Error.
void move_shared(const std::filesystem::path& from, const std::filesystem::path& to);

/// Gives a file a second name, which must be free. Throws Error.
[[nodiscard]] bool link_shared(const std::filesystem::path& file, const std::filesystem::path& name);

/// No error where there is none. nullopt: whatever it says. Throws Error.
[[nodiscard]] bool remove_shared(const std::filesystem::path& path, const Before& before);

}  // namespace ipmasq::os
