#include "doctor/read_surroundings.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "cni/cache.hpp"
#include "config/flannel.hpp"
#include "conflist/folder.hpp"
#include "conflist/read_folder.hpp"
#include "doctor/program_trouble.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::doctor {

namespace {

namespace fs = std::filesystem;

constexpr auto docker_file = "/etc/docker/daemon.json";

// Where containerd, CRI-O, Debian, GKE, k3s and RKE2 look for plugins.
constexpr std::array bin_folders{"/opt/cni/bin",
                                 "/usr/lib/cni",
                                 "/usr/libexec/cni",
                                 "/home/kubernetes/bin",
                                 "/var/lib/rancher/k3s/data/current/bin",
                                 "/var/lib/rancher/k3s/data/cni"};

class Reader {
 public:
  explicit Reader(std::vector<std::string>& not_looked) : not_looked_(not_looked) {}

  // What cannot be looked at is told once, as the error has it.
  void look(const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& error) {
      not_looked_.emplace_back(error.what());
    }
  }

  // Empty where there is no such file.
  std::string text_of(const fs::path& path) {
    std::string text;
    look([&] { text = os::read_file(path).value_or(""); });
    return text;
  }

  // Sorted; none where there is no such folder.
  std::vector<fs::path> entries_of(const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> entries;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
      entries.push_back(entry->path());
    if (error && error != std::errc::no_such_file_or_directory)
      not_looked_.push_back("cannot read the folder " + folder.string() + ": " + error.message());
    std::ranges::sort(entries);
    return entries;
  }

 private:
  std::vector<std::string>& not_looked_;
};

// Those that could not be read are told; whether any other is loaded that is beyond what we read, only where
// it matters.
void tell_what_was_not_read(const fs::path& conf_dir, const std::vector<conflist::Network>& lists,
                            std::vector<std::string>& not_looked) {
  const bool is_any_loaded = std::ranges::any_of(lists, &conflist::Network::is_loaded);
  for (const auto& list : lists) {
    const auto path = (conf_dir / list.file.name).string();
    if (list.file.is_unread) {
      not_looked.push_back("cannot read " + path + ": " + list.file.trouble);
    } else if (!is_any_loaded && list.loading == conflist::Loading::unknown) {
      not_looked.push_back("whether the runtime loads " + path + ": " + list.reason);
    }
  }
}

std::vector<conflist::Network> lists_of(const fs::path& conf_dir, std::vector<conflist::File> files,
                                        std::vector<std::string>& not_looked) {
  auto lists = conflist::read_networks(std::move(files));
  tell_what_was_not_read(conf_dir, lists, not_looked);
  return lists;
}

// Of files with that suffix, without it.
std::set<std::string> names_before(std::string_view suffix, const std::vector<conflist::File>& files) {
  std::set<std::string> names;
  for (const auto& file : files) {
    if (file.name.ends_with(suffix)) names.insert(file.name.substr(0, file.name.size() - suffix.size()));
  }
  return names;
}

// A folder that is not there has no lists for the runtime that reads it; who names one may have mistyped it.
std::vector<conflist::File> files_of(const ListsFolder& folder) {
  try {
    return conflist::read_folder(folder.path);
  } catch (const Error& error) {
    if (error.kind() != Kind::absent || folder.said_by < SaidBy::one_runtime) throw;
    return {};
  }
}

void read_lists(const ListsFolder& folder, Reader& reader, std::vector<std::string>& not_looked,
                Surroundings& node) {
  node.conf_dir = folder.path;
  node.conf_dir_said_by = folder.said_by;
  reader.look([&] {
    auto files = files_of(folder);
    node.backups = names_before(conflist::backup_suffix, files);
    for (const auto suffix : conflist::aside_suffixes) node.put_aside.merge(names_before(suffix, files));
    node.lists = lists_of(folder.path, std::move(files), not_looked);
    node.are_lists_read = true;
  });
}

void read_docker(Reader& reader, std::vector<std::string>& not_looked, Surroundings& node) {
  const auto text = reader.text_of(docker_file);
  if (text.empty()) return;
  auto json = cni::Json::parse(text, nullptr, false);
  if (json.is_object()) {
    node.docker_config = std::move(json);
  } else {
    not_looked.push_back(std::string(docker_file) + " is no JSON object");
  }
}

// What ends while we look is gone.
void read_processes(Reader& reader, Surroundings& node) {
  std::error_code error;
  const auto here = fs::read_symlink("/proc/self/ns/net", error);
  for (const auto& path : reader.entries_of("/proc")) {
    // Others' daemons are at work on other networks.
    if (fs::read_symlink(path / "ns/net", error) != here || error) continue;
    try {
      auto name = os::read_file(path / "comm").value_or("");
      if (name.ends_with('\n')) name.pop_back();
      if (!name.empty()) node.processes.insert(name);
    } catch (const Error&) {
      continue;
    }
  }
}

// As libcni finds them: any regular file, whoever may run it (pkg/invoke/find.go).
BinFolder bin_folder(const fs::path& folder, bool is_named, Reader& reader) {
  BinFolder found{.path = folder};
  for (const auto& path : reader.entries_of(folder)) {
    std::error_code error;
    const auto name = path.filename().string();
    if (fs::is_regular_file(path, error)) {
      reader.look([&] { found.programs[name] = program_trouble(path); });
    } else if (!fs::is_symlink(path, error) || fs::exists(path, error)) {
      reader.look([&] { found.no_files[name] = what_is_no_file(path); });
    } else {
      found.dead_links[name] = fs::read_symlink(path, error).string();
      if (is_named) found.programs[name] = "";
    }
  }
  std::error_code error;
  found.can_be_written = !fs::exists(folder, error) || ::access(folder.c_str(), W_OK) == 0;
  return found;
}

void read_bin_folders(const PluginFolders& plugins, Reader& reader, Surroundings& node) {
  std::vector<fs::path> folders(bin_folders.begin(), bin_folders.end());
  const bool is_named = !plugins.named.empty();
  node.is_search_known = is_named || !plugins.searched.empty();
  node.may_search_more = is_named;
  if (!plugins.searched.empty()) folders = plugins.searched;
  if (is_named) folders = plugins.named;
  for (const auto& folder : folders) {
    auto found = bin_folder(folder, is_named, reader);
    if (!found.programs.empty() || node.is_search_known) node.bin_folders.push_back(std::move(found));
  }
}

// Of what runtimes recorded of pods.
void read_cache_names(const fs::path& folder, Reader& reader, Surroundings& node) {
  reader.look([&] { node.has_cache = node.has_cache || os::is_there(folder); });
  for (const auto& path : reader.entries_of(folder)) node.cached_results.push_back(path.filename().string());
}

void read_settings(Reader& reader, Surroundings& node) {
  const auto is_on = [&reader](const char* path) { return !reader.text_of(path).starts_with("0"); };
  node.forwards_ipv4 = is_on("/proc/sys/net/ipv4/ip_forward");
  node.forwards_ipv6 = is_on("/proc/sys/net/ipv6/conf/all/forwarding");
  // The kernel takes the larger of "all" and the interface's own (ip-sysctl: rp_filter); 2 is loose.
  const fs::path folder = "/proc/sys/net/ipv4/conf";
  const auto of_all = reader.text_of(folder / "all/rp_filter");
  for (const auto& path : reader.entries_of(folder)) {
    const auto name = path.filename().string();
    if (name == "all" || name == "default" || name == "lo") continue;
    if (reader.text_of(path / "forwarding").starts_with("0")) node.not_forwarding.insert(name);
    const auto own = reader.text_of(path / "rp_filter");
    const bool is_loose = own.starts_with("2") || of_all.starts_with("2");
    if (!is_loose && (own.starts_with("1") || of_all.starts_with("1")))
      node.strict_interfaces.push_back(name);
  }
  reader.look([&node] { node.dropped_by_reverse_path = kernel_counter("IPReversePathFilter"); });
}

std::uint64_t number_in(const std::string& text) {
  std::uint64_t number = 0;
  std::istringstream(text) >> number;
  return number;
}

// /proc/net/stat/nf_conntrack: a line of names, then one of each processor, in hexadecimal.
std::uint64_t sum_of(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  std::istringstream names(line);
  std::size_t column = 0;
  std::string each;
  while (names >> each && each != name) ++column;
  if (each != name) return 0;
  std::uint64_t sum = 0;
  while (std::getline(lines, line)) {
    std::istringstream numbers(line);
    std::uint64_t number = 0;
    std::size_t index = 0;
    while (index <= column && numbers >> std::hex >> number) ++index;
    if (index == column + 1) sum += number;
  }
  return sum;
}

void read_tracking(Reader& reader, Surroundings& node) {
  const auto count = reader.text_of("/proc/sys/net/netfilter/nf_conntrack_count");
  if (count.empty()) return;
  node.tracking =
      Tracking{.connections = number_in(count),
               .most_connections = number_in(reader.text_of("/proc/sys/net/netfilter/nf_conntrack_max")),
               .not_inserted = sum_of(reader.text_of("/proc/net/stat/nf_conntrack"), "insert_failed")};
}

}  // namespace

void read_own_lists(std::vector<OwnLists>& all, std::vector<std::string>& not_looked) {
  Reader reader(not_looked);
  for (auto& each : all) {
    reader.look([&] {
      auto files = files_of({each.conf_dir, SaidBy::one_runtime});
      each.backups = names_before(conflist::backup_suffix, files);
      each.lists = lists_of(each.conf_dir, std::move(files), not_looked);
      each.are_read = true;
    });
  }
}

std::uint64_t kernel_counter(const std::string& name) {
  const auto text = os::read_file("/proc/net/netstat").value_or("");
  std::istringstream lines(text);
  std::string names;
  std::string numbers;
  // Two lines a protocol, both beginning with its name.
  while (std::getline(lines, names) && std::getline(lines, numbers)) {
    std::istringstream of_names(names);
    std::istringstream of_numbers(numbers);
    std::string each;
    std::string number;
    while (of_names >> each && of_numbers >> number) {
      if (each == name) return number_in(number);
    }
  }
  return 0;
}

Surroundings read_surroundings(const ListsFolder& lists, const PluginFolders& plugins,
                               const fs::path& subnet_file, const std::vector<fs::path>& more_caches,
                               std::vector<std::string>& not_looked) {
  Surroundings node;
  Reader reader(not_looked);
  node.subnet_file = subnet_file;
  reader.look([&] { node.flannel_masquerades = config::read_flannel_masquerades(subnet_file); });
  read_lists(lists, reader, not_looked, node);
  read_bin_folders(plugins, reader, node);
  read_docker(reader, not_looked, node);
  read_processes(reader, node);
  for (const auto* const folder : cni::cache_folders) read_cache_names(folder, reader, node);
  for (const auto& folder : more_caches) read_cache_names(folder, reader, node);
  read_settings(reader, node);
  read_tracking(reader, node);
  return node;
}

}  // namespace ipmasq::doctor
