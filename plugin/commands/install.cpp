#include "plugin/commands/install.hpp"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <ostream>
#include <string_view>
#include <system_error>
#include <vector>

#include "cni/json.hpp"
#include "conflist/conflist.hpp"
#include "error/error.hpp"
#include "netfilter/kernel.hpp"
#include "os/file.hpp"
#include "os/signals.hpp"
#include "state/store.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

constexpr auto backup_suffix = ".before-ip-masq";
constexpr mode_t everybody_reads = 0644;

fs::path backup_of(const fs::path& path) {
  return path.string() + backup_suffix;
}

// A single plugin's .conf becomes a .conflist beside it.
fs::path list_path_of(const fs::path& path) {
  return fs::path(path).replace_extension(".conflist");
}

// In the order in which a runtime reads them (libcni: ConfFiles).
std::vector<fs::path> configs_in(const fs::path& folder) {
  constexpr std::array<std::string_view, 3> extensions{".conf", ".conflist", ".json"};
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const auto extension = entry->path().extension().string();
    if (std::ranges::find(extensions, extension) != extensions.end()) paths.push_back(entry->path());
  }
  if (error) {
    throw Error(Kind::failed, "cannot read the folder " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(paths);
  return paths;
}

std::optional<cni::Json> read_config(const fs::path& path) {
  const auto text = os::read_file(path);
  auto json = cni::Json::parse(text.value_or(""), nullptr, false);
  return json.is_object() ? std::optional(std::move(json)) : std::nullopt;
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777U : everybody_reads;
}

void write_config(const fs::path& path, const cni::Json& config, mode_t mode) {
  os::replace_file(path, config.dump(2) + "\n", mode);
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    throw Error(Kind::failed,
                "cannot rename " + from.string() + " to " + to.string() + ": " + error.message());
  }
}

void install_binary(const fs::path& bin_dir, std::ostream& output) {
  const fs::path self = "/proc/self/exe";
  const auto path = bin_dir / conflist::our_type;
  std::error_code missing;
  if (fs::exists(path, missing) && os::have_the_same_bytes(self, path)) return;
  os::make_folder(bin_dir, 0755);
  os::copy_program(self, path);
  output << "put " << path.string() << '\n';
}

void install_entry(const fs::path& path, const cni::Json& config, std::ostream& output) {
  const auto wanted = conflist::with_our_entry(config);
  if (wanted == config) return;
  const auto mode = mode_of(path);
  std::error_code missing;
  if (!conflist::is_list(config)) {
    const auto list = list_path_of(path);
    write_config(list, wanted, mode);
    move_file(path, backup_of(path));
    output << "put the entry into " << list.string() << ", which stands instead of " << path.string() << '\n';
    return;
  }
  if (!fs::exists(backup_of(path), missing))
    os::replace_file(backup_of(path), os::read_file(path).value_or(""), mode);
  write_config(path, wanted, mode);
  output << "put the entry into " << path.string() << '\n';
}

// Whether `path` holds nothing but what install made of its backup.
bool is_as_installed(const cni::Json& config, const fs::path& backup) {
  const auto before = read_config(backup);
  return before && conflist::with_our_entry(*before) == config;
}

void uninstall_entry(const fs::path& path, const cni::Json& config, std::ostream& output) {
  const auto single = fs::path(path).replace_extension(".conf");
  if (is_as_installed(config, backup_of(single)) && single != path) {
    move_file(backup_of(single), single);
    os::remove_file(path);
    output << "put " << single.string() << " back\n";
  } else if (is_as_installed(config, backup_of(path))) {
    move_file(backup_of(path), path);
    output << "put " << path.string() << " back\n";
  } else {
    write_config(path, conflist::without_our_entry(config), mode_of(path));
    output << "took the entry out of " << path.string() << '\n';
  }
}

// Whether there was a conflist for it.
bool try_to_install(const InstallTarget& target, std::ostream& output) {
  for (const auto& path : configs_in(target.conf_dir)) {
    const auto config = read_config(path);
    if (!config || !conflist::holds(*config, target.after)) continue;
    install_binary(target.bin_dir, output);
    install_entry(path, *config, output);
    return true;
  }
  return false;
}

std::string what_is_missing(const InstallTarget& target) {
  return "no conflist in " + target.conf_dir.string() + " has a plugin of type \"" + target.after + "\"";
}

}  // namespace

void install(const InstallTarget& target, std::ostream& output) {
  if (try_to_install(target, output)) return;
  throw Error(Kind::wrong_config, what_is_missing(target),
              "install that plugin first, or name another with --after");
}

void install_when_possible(const InstallTarget& target, std::ostream& output) {
  const os::Signals signals{SIGTERM, SIGINT};
  watch::FileWatch file_watch;
  for (bool has_told = false;; has_told = true) {
    file_watch.watch({target.conf_dir / "conflists"});
    std::error_code error;
    if (fs::exists(target.conf_dir, error) && try_to_install(target, output)) return;
    if (!has_told) output << what_is_missing(target) << ": waiting for it" << std::endl;
    std::array<pollfd, 2> waited{{{signals.descriptor(), POLLIN, 0}, {file_watch.descriptor(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), file_watch.timeout());
    if (signals.drain() != 0) throw Error(Kind::wrong_config, what_is_missing(target));
  }
}

void uninstall(const InstallTarget& target, std::ostream& output) {
  for (const auto& path : configs_in(target.conf_dir)) {
    const auto config = read_config(path);
    if (config && conflist::is_list(*config) && conflist::holds(*config, conflist::our_type)) {
      uninstall_entry(path, *config, output);
    }
  }
}

void remove_rules(const fs::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  const auto lock_timeout = config::Netconf{}.lock_timeout;
  std::optional<os::FileLock> lock;
  if (store.exists()) lock.emplace(store.lock_exclusive(lock_timeout));
  netfilter::RealKernel kernel;
  for (const auto backend : config::all_backends) {
    const auto opened = kernel.open(backend, lock_timeout);
    if (!opened->may_hold_rules()) continue;
    const auto sources = opened->sources();
    nat::Ruleset nothing{.gone = {sources.begin(), sources.end()}};
    for (const auto& source : sources) nothing.networks.insert(source.network);
    for (const auto& change : opened->apply(nothing).lines) output << change << '\n';
  }
  for (const auto& [name, network] : store.load()) {
    for (const auto& attachment : network.attachments) store.forget(name, attachment.id);
    for (const auto& id : network.damaged_ids) store.forget(name, id);
    store.forget_network(name);
  }
}

}  // namespace ipmasq::plugin
