// A folder of network configurations as container runtimes read it, and ip-masq's entry in it (CNI spec 1.1,
// section 1, "Network configuration format"). Values in, values out.
//
// What a runtime loads, from libcni (conf.go), containerd (go-cni, opts.go) and CRI-O (ocicni.go):
// - files whose name ends in .conf, .conflist or .json, in the order of the bytes of their names; what is
//   itself a folder is not looked at;
// - a .conflist must hold a list ("name", "plugins" with a "type" each), a .conf or .json a single plugin
//   ("type"): a list in a .conf is refused, and so is a single plugin in a .conflist;
// - CRI-O and podman step over what is refused; containerd loads the first max_conf_num files (1 unless
//   configured, 0 for all), and none at all where one of them is refused.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::conflist {

inline constexpr std::string_view our_type = "ip-masq";
inline constexpr std::string_view flannel_type = "flannel";

/// What was found under a name of the folder.
struct File {
  std::string name;       ///< without the folder
  std::string text = {};  ///< all of it
  bool is_folder = false;
  std::string trouble = {};  ///< why there is no text: "it is larger than 1 MiB"
  bool is_unread = false;    ///< the trouble says nothing of what the file is: reading it failed
};

enum class Loading {
  loaded,
  refused,  ///< libcni would say no
  passed,   ///< libcni does not look at it
  unknown,  ///< it could not be read, or is beyond what we read (deeper than 64 levels, larger than 1 MiB)
};

/// A file as libcni takes it.
struct Network {
  File file;
  Loading loading = Loading::refused;
  std::string reason = {};       ///< why it is not loaded: "is no list (it has no \"plugins\"): ..."
  std::string name = {};         ///< empty where it says none
  std::string cni_version = {};  ///< the one that plugins are called with; empty where it says none
  bool is_single = false;        ///< one plugin, without "plugins"
  std::vector<cni::Json> plugins =
      {};  ///< objects; also of a file that is refused, where they can be made out

  bool is_loaded() const { return loading == Loading::loaded; }
  bool holds(std::string_view type) const;
  /// Where our first entry stands in `plugins`.
  std::optional<std::size_t> our_place() const;
};

/// All files that a runtime considers, in its order; others are left out.
std::vector<Network> read_networks(std::vector<File> files);

/// Whether a runtime considers a file of this name.
bool is_considered(std::string_view name);

/// The first that is loaded: the one that pods get, unless CRI-O's configuration or a pod's annotation names
/// another. nullptr where there is none.
const Network* first_loaded(const std::vector<Network>& networks);

/// The first that is loaded and has a plugin of this type.
const Network* first_with(const std::vector<Network>& networks, std::string_view type);

/// Those before `network` that make containerd load nothing at all: refused, or perhaps so.
std::vector<const Network*> in_the_way(const std::vector<Network>& networks, const Network& network);

/// Why an ADD of ours would fail in a network that is loaded, whatever the node: its cniVersion, its name,
/// the place of our entry, keys that are wrong. Sentences without the file's name; empty where it would not,
/// or where there is no entry (then of name and cniVersion alone).
std::vector<std::string> why_add_would_fail(const Network& network);

}  // namespace ipmasq::conflist
