// What install and uninstall do to a folder of network configurations: files in, steps out (no I/O).
//
// Beside a file that install changed stand, under names that no runtime considers, FILE.before-ip-masq with
// its bytes as they were found, and, where our entry has keys, FILE.entry-of-ip-masq with the entry as it was
// seen last: where somebody writes the file anew, as flannel's and k3s' own start does, the entry is put back
// with its keys. A single plugin's file becomes a list beside it and is itself renamed to
// FILE.before-ip-masq.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

struct Step {
  enum class Kind {
    write,   ///< `text` into `name`; a new file gets owner and mode of `other`
    rename,  ///< `other` to `name`
    link,    ///< `name` as a second name of `other`
    remove,  ///< `name`
  };
  Kind kind = Kind::write;
  std::string name;
  std::string other = {};
  std::string text = {};
  std::string told =
      {};  ///< "put the entry into /etc/cni/net.d/10-flannel.conflist"; empty: not worth a word
  bool may_fail = false;  ///< nothing of what follows needs it
  /// What was read under `name`, and under `other`; nullopt: nothing was there, or nobody can read it.
  std::optional<std::string> before = {};
  std::optional<std::string> other_before = {};
};

struct Plan {
  std::vector<Step> steps = {};
  std::vector<std::string> notes = {};     ///< what an operator should know, and nothing was done about
  std::vector<std::string> failures = {};  ///< what could not be looked at and may hold an entry of ours
};

/// The network that pods get by its name, as CRI-O may be told.
struct Named {
  std::string network = {};  ///< empty: the first that is loaded
  std::string said_by = {};  ///< "cni_default_network in /etc/crio/crio.conf"

  bool operator==(const Named&) const = default;
};

/// `path` of the folder: for the words. nullopt where no network that is loaded has a plugin of the type
/// `after`. Throws Error{wrong_config} where every ADD would fail with our entry in it, where the list has a
/// hard link, which would not follow, multus takes a file by its path that would be renamed, or a file of
/// ours is in the way, and Error{failed} where a file could not be read that decides.
std::optional<Plan> plan_install(const std::string& path, const std::vector<File>& files,
                                 std::string_view after, const Taken& taken = {}, const Named& named = {});

/// What of the folder may be meant and is not loaded, a line each.
std::vector<std::string> why_not_found(const std::string& path, const std::vector<File>& files,
                                       std::string_view after);

/// Takes out every entry of ours and what install put in beside it, whatever else was changed since. What
/// others have put out of force stays so.
Plan plan_uninstall(const std::string& path, const std::vector<File>& files);

}  // namespace ipmasq::conflist
