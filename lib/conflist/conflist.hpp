// A folder of network configurations as container runtimes read it, and ip-masq's entry in it (CNI spec 1.1,
// section 1, "Network configuration format"). Values in, values out.
//
// What a runtime loads, from libcni (conf.go), containerd (go-cni, opts.go) and CRI-O (ocicni.go):
// - files whose name ends in .conf, .conflist or .json, in the order of the bytes of their names; what is
//   itself a folder is not looked at;
// - a .conflist must hold a list ("name", "plugins" with a "type" each), a .conf or .json a single plugin
//   ("type"): a list in a .conf is refused, and so is a single plugin in a .conflist;
// - since libcni 1.3 the plugins of a list are those in it and then those of NAME/*.conf beside it, in the
// order of
//   the bytes of their names, where NAME is the list's name, and unless it says "loadOnlyInlinedPlugins"; an
//   older one does not look there;
// - keys of a plugin are found whatever their case; what is no UTF-8 is no error (utf8.hpp);
// - CRI-O and podman step over what is refused; containerd loads the first max_conf_num files (1 unless
//   configured, 0 for all), and none at all where one of them is refused.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"
#include "os/obstacle.hpp"

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
  std::size_t links = 1;     ///< how many names the file has, here and elsewhere
  std::optional<os::Obstacle> obstacle = {};  ///< why nobody here can write another in its place
  /// Of a .conflist: what is in the folder beside it that has the list's name, each as "cbr0/10-bridge.conf".
  std::vector<File> plugins = {};
  std::string plugins_trouble = {};  ///< why libcni refuses what has that name
  /// Of a file of multus: the paths in it whose folder is this one, by whatever links.
  std::set<std::string> leads_here = {};
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
  std::string reason = {};         ///< why it is not loaded: "is no list (it has no \"plugins\"): ..."
  std::string name = {};           ///< empty where it says none
  std::string cni_version = {};    ///< the one that plugins are called with; empty where it says none
  std::string version_alone = {};  ///< the same by libcni before 1.2, which does not know "cniVersions"
  bool is_single = false;          ///< one plugin, without "plugins"
  std::vector<cni::Json> plugins =
      {};                   ///< objects; also of a file that is refused, where they can be made out
  std::size_t inlined = 0;  ///< how many of them stand in the file itself, before all others

  bool is_loaded() const { return loading == Loading::loaded; }
  bool holds(std::string_view type) const;
  /// Where our first entry stands in `plugins`.
  std::optional<std::size_t> our_place() const;
  /// Whether that is in the file itself.
  bool has_our_entry_inlined() const;
  /// The file that plugin number `index` stands in, of a network that is loaded.
  const std::string& file_of(std::size_t index) const;
  /// Where the plugin stands that makes the interface: the first that needs none before it.
  std::optional<std::size_t> place_of_maker() const;
};

/// Whether a file that libcni refuses is one in which nobody can make out plugins: half-written, perhaps, and
/// so one that may come to have our entry.
bool may_be_half_written(const Network& network);

/// The name that a list says, for a folder beside it; nullopt where no such folder is asked for.
std::optional<std::string> folder_of_plugins(const File& list);

/// Whether a file of that folder is taken for a plugin.
bool is_plugin_file(std::string_view name);

/// All files that a runtime considers, in its order; others are left out.
std::vector<Network> read_networks(std::vector<File> files);

/// How the names end of files that a runtime considers.
inline constexpr std::array<std::string_view, 3> extensions{".conf", ".conflist", ".json"};

/// Whether a runtime considers a file of this name.
bool is_considered(std::string_view name);

/// The first that is loaded: the one that pods get, unless CRI-O's configuration or a pod's annotation names
/// another. nullptr where there is none.
const Network* first_loaded(const std::vector<Network>& networks);

/// The first that is loaded and has a plugin of this type.
const Network* first_with(const std::vector<Network>& networks, std::string_view type);

/// How many of the lists containerd takes (max_conf_num), each of which gives a pod an interface.
struct Taken {
  std::size_t most = 1;
  std::string said_by = {};  ///< "max_conf_num in /etc/containerd/config.toml"; empty where nobody says it

  bool operator==(const Taken&) const = default;
};

/// Those that it takes, in its order.
std::vector<const Network*> taken_of(const std::vector<Network>& networks, const Taken& taken);

/// Whether pods get that list although it is not the first: a second interface and on.
bool is_taken_as_well(const std::vector<Network>& networks, const Network& network, const Taken& taken);

/// Those that make containerd load nothing at all: refused, or perhaps so, before `network` or before the
/// last that it takes.
std::vector<const Network*> in_the_way(const std::vector<Network>& networks, const Network& network,
                                       const Taken& taken);

/// Why an ADD of ours would fail in a network that is loaded, whatever the node: its cniVersion, its name,
/// the place of our entry, keys that are wrong. Sentences without the file's name; empty where it would not,
/// or where there is no entry (then of name and cniVersion alone).
std::vector<std::string> why_add_would_fail(const Network& network);

/// Why an ADD of ours would fail by its cniVersion where libcni is older than 1.2, and only there; empty
/// where it would not.
std::string why_older_libcni_would_fail(const Network& network);

}  // namespace ipmasq::conflist
