#include "cni/cache.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <system_error>
#include <utility>

#include "cni/base64.hpp"
#include "cni/environment.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "os/mounts.hpp"

namespace ipmasq::cni {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_files = 4096;
constexpr std::size_t most_bytes = std::size_t{32} << 20U;
constexpr std::size_t most_problems = 8;

Json value_at(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() ? Json() : *found;
}

std::string string_at(const Json& json, const char* key) {
  const auto value = value_at(json, key);
  return value.is_string() ? value.get<std::string>() : "";
}

bool is_printable(const std::string& text) {
  return std::ranges::all_of(text, [](char letter) { return letter > ' ' && letter <= '~'; });
}

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Kind::wrong_text, why);
}

// [["K8S_POD_NAME", "web"], …] as K8S_POD_NAME=web;…; a text that would be taken for more than one is left
// out.
std::string args_of(const Json& pairs) {
  std::string args;
  for (const auto& pair : pairs.is_array() ? pairs : Json::array()) {
    const bool is_pair =
        pair.is_array() && pair.size() == 2 && std::ranges::all_of(pair, [](const Json& text) {
          return text.is_string() && text.get_ref<const std::string&>().find(';') == std::string::npos;
        });
    if (!is_pair) continue;
    args += (args.empty() ? "" : ";") + pair[0].get<std::string>() + "=" + pair[1].get<std::string>();
  }
  return args;
}

Json list_of(const Json& cached) {
  const auto text = decode_base64(string_at(cached, "config"));
  if (!text || text->empty()) return nullptr;
  try {
    return parse_json(*text, "its config");
  } catch (const Error&) {
    return nullptr;  // one of now may be there
  }
}

// The pod's end: the first interface in a sandbox.
Json pod_interface(const Json& result) {
  for (const auto& interface : value_at(result, "interfaces")) {
    if (!string_at(interface, "sandbox").empty()) return interface;
  }
  return nullptr;
}

// A plain result says whose it is by the name of its file alone.
CachedAttachment plain_result(const std::string& name, const std::string& network, const Json& result) {
  const auto interface = string_at(pod_interface(result), "name");
  const auto end = "-" + interface;
  auto rest = name.substr(std::min(name.size(), network.size() + 1));
  if (interface.empty() || !rest.ends_with(end)) refuse("it does not say which container it is of");
  rest.resize(rest.size() - end.size());
  return {network, {std::move(rest), interface}, "", result, string_at(pod_interface(result), "sandbox")};
}

bool is_plain(const Json& json) {
  return json.is_object() && !json.contains("kind") && json.contains("ips");
}

CachedAttachment cached_info(const Json& json) {
  if (!json.is_object()) refuse("it is no JSON object");
  if (string_at(json, "kind") != "cniCacheV1") {
    refuse("its kind is " + excerpt(value_at(json, "kind")) + ": expected cniCacheV1");
  }
  CachedAttachment cached{
      string_at(json, "networkName"),     {string_at(json, "containerId"), string_at(json, "ifName")},
      args_of(value_at(json, "cniArgs")), value_at(json, "result"),
      string_at(json, "netns"),           list_of(json),
      value_at(json, "capabilityArgs")};
  // libcni before 1.2 tells it in the result alone.
  if (cached.netns.empty()) cached.netns = string_at(pod_interface(cached.result), "sandbox");
  return cached;
}

void check(const CachedAttachment& cached, const std::string& name) {
  const bool are_names = is_cni_name(cached.network) && is_container_id(cached.id.container_id) &&
                         is_interface_name(cached.id.interface);
  if (!are_names) refuse("it does not name a network, a container and an interface");
  if (cache_name(cached.network, cached.id) != name) refuse("it is of another attachment than its name says");
  if (!cached.result.is_object()) refuse("it has no result");
  if (!cached.netns.starts_with('/')) refuse("it does not say which network namespace is the pod's");
}

bool is_same_namespace(const char* left, const char* right) {
  struct stat one {};
  struct stat other {};
  return ::stat(left, &one) == 0 && ::stat(right, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

// "/proc/PID/…", whose folder goes with the process.
bool is_of_process(const std::string& path) {
  constexpr std::string_view processes = "/proc/";
  return path.starts_with(processes) && path.size() > processes.size() && path[processes.size()] >= '0' &&
         path[processes.size()] <= '9';
}

// Whether this is the machine's first namespace of processes (PROC_PID_INIT_INO, linux/proc_ns.h).
bool sees_the_machines_processes() {
  constexpr ino_t first_namespace = 0xEFFFFFFC;
  struct stat ours {};
  return ::stat("/proc/self/ns/pid", &ours) == 0 && ours.st_ino == first_namespace;
}

bool is_started_by_the_runtime() {
  return ::getenv("CNI_COMMAND") != nullptr;  // NOLINT(concurrency-mt-unsafe): nobody sets any
}

// Whether a number names the process here that it names to the runtime.
bool sees_the_runtimes_processes() {
  return sees_the_machines_processes() || is_started_by_the_runtime();
}

// Whether what the runtime mounts in a folder is seen here: beside the machine's first process, or where
// mounts come to this container.
bool sees_the_runtimes_mounts(const fs::path& folder) {
  const bool is_outside =
      sees_the_machines_processes() && is_same_namespace("/proc/self/ns/mnt", "/proc/1/ns/mnt");
  return is_started_by_the_runtime() || is_outside || os::receives_mounts(folder);
}

bool is_asked_for(const CachedAttachment& cached, const CacheFilter& filter) {
  return filter.networks.contains(cached.network) || (filter.wants_list && filter.wants_list(cached.list));
}

// The longest of the networks named that the name can begin with; empty for none.
std::string network_in(const std::string& name, const CacheFilter& filter) {
  std::string longest;
  for (const auto& network : filter.networks) {
    if (name.starts_with(network + "-") && network.size() > longest.size()) longest = network;
  }
  return longest;
}

class Reader {
 public:
  Reader(fs::path folder, const CacheFilter& filter) : folder_(std::move(folder)), filter_(filter) {}

  Cache read() {
    cache_.is_complete = true;
    for (const auto& name : names()) {
      try {
        read_file(name);
      } catch (const Error& error) {
        tell((folder_ / (is_printable(name) ? name : excerpt(name))).string() + ": " + error.what());
        if (const auto network = network_in(name, filter_); !network.empty()) cache_.unread.insert(network);
      }
    }
    if (untold_ > 0) cache_.problems.push_back("and " + std::to_string(untold_) + " more");
    return std::move(cache_);
  }

 private:
  // Whoever can write to the folder can take a pod's file away, or put another one's in its place.
  bool is_trusted() const {
    struct stat status {};
    return ::stat(folder_.c_str(), &status) != 0 ||
           (status.st_uid == ::geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0);
  }

  std::vector<std::string> names() {
    std::error_code error;
    std::vector<std::string> names;
    if (!is_trusted()) {
      tell("the folder " + folder_.string() + " belongs to somebody else, or can be written to by others");
      return names;
    }
    for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
      auto name = entry->path().filename().string();
      if (const auto known = filter_.known.find(name); known != filter_.known.end()) {
        cache_.told.insert(known->second);
        continue;
      }
      if (!is_wanted(name)) continue;
      if (names.size() == most_files) {
        tell(folder_.string() + " has more than " + std::to_string(most_files) +
             " files: the others are left");
        break;
      }
      names.push_back(std::move(name));
    }
    cache_.is_listed = !error;
    if (error) cache_.is_complete = false;
    if (error && error != std::errc::no_such_file_or_directory)
      tell("cannot read the folder " + folder_.string() + ": " + error.message());
    std::ranges::sort(names);
    return names;
  }

  bool is_wanted(const std::string& name) const {
    return filter_.wants_list || !network_in(name, filter_).empty();
  }

  void read_file(const std::string& name) {
    if (!is_printable(name)) refuse("libcni gives a file no such name");
    const auto text = os::read_trusted_file(folder_ / name);
    if (!text) return;  // its pod has just ended
    read_ += text->size();
    if (read_ > most_bytes) refuse("more than 32 MiB were read: it is left");
    auto cached = parse_cached(name, *text, filter_);
    if (!cached) return;
    const auto its = look_at_namespace(cached->netns);
    if (its == Namespace::there) {
      std::error_code ended;
      if (cached->list.is_object()) cached->written = fs::last_write_time(folder_ / name, ended);
      cache_.told.insert(cached->network);
      cache_.living.push_back(*std::move(cached));
      return;
    }
    if (its != Namespace::hidden) return;
    cache_.is_complete = false;
    if (!sees_the_runtimes_mounts(fs::path(cached->netns).parent_path())) tell_of_hidden(*cached);
  }

  void tell_of_hidden(const CachedAttachment& cached) {
    if (cache_.not_seen.size() == most_problems) return;
    cache_.not_seen.push_back(
        "whether the pod of " + cache_name(cached.network, cached.id) + " lives: its network namespace " +
        excerpt(cached.netns) +
        " is no namespace here, and what the runtime mounts there does not come to this container (a "
        "hostPath of it needs mountPropagation HostToContainer, and on the node a shared mount: mount "
        "--make-rshared /)");
  }

  void tell(const std::string& problem) {
    cache_.is_complete = false;
    if (cache_.problems.size() < most_problems) return cache_.problems.push_back(problem);
    ++untold_;
  }

  fs::path folder_;
  const CacheFilter& filter_;
  Cache cache_;
  std::size_t read_ = 0;
  std::size_t untold_ = 0;
};

}  // namespace

// The name of a namespace is a mount of nsfs on a plain file, or a link to it in /proc.
Namespace look_at_namespace(const std::string& path) {
  const bool is_process = is_of_process(path);
  if (is_process && !sees_the_runtimes_processes())
    throw Error(Kind::failed,
                "whether its pod lives cannot be told: processes have other numbers in this container");
  struct statfs status {};
  if (::statfs(path.c_str(), &status) == 0) {
    if (status.f_type != NSFS_MAGIC) return Namespace::hidden;
    return is_same_namespace(path.c_str(), "/proc/self/ns/net") ? Namespace::gone : Namespace::there;
  }
  const int number = errno;
  const auto folder = is_process ? fs::path("/proc/self") : fs::path(path).parent_path();
  const bool is_missing = number == ENOENT || number == ENOTDIR;
  if (is_missing && os::is_there(folder)) return Namespace::gone;
  throw Error(Kind::failed, "whether its pod lives cannot be told: " +
                                (is_missing ? "there is no folder " + excerpt(folder.string()) + " here"
                                            : excerpt(path) + ": " + text_of(number)));
}

std::string cache_name(const std::string& network, const AttachmentId& id) {
  return network + "-" + id.container_id + "-" + id.interface;
}

std::optional<CachedAttachment> parse_cached(const std::string& name, std::string_view text,
                                             const CacheFilter& filter) {
  const auto json = parse_json(text, "it");
  const auto network = network_in(name, filter);
  if (is_plain(json) && network.empty()) return std::nullopt;
  auto cached = is_plain(json) ? plain_result(name, network, json) : cached_info(json);
  if (!is_asked_for(cached, filter)) return std::nullopt;
  check(cached, name);
  return cached;
}

Cache read_cache(const fs::path& folder, const CacheFilter& filter) {
  return Reader(folder, filter).read();
}

std::string cache_folders_text() {
  std::string text;
  for (const auto* const folder : cache_folders) text += (text.empty() ? "" : " or ") + std::string(folder);
  return text;
}

Cache read_caches(const CacheFilter& filter, const std::vector<fs::path>& more) {
  Cache all{.is_complete = true};
  std::vector<fs::path> folders(cache_folders.begin(), cache_folders.end());
  folders.insert(folders.end(), more.begin(), more.end());
  for (const auto& folder : folders) {
    auto cache = read_cache(folder, filter);
    const bool is_there = cache.is_listed || !cache.problems.empty();
    all.is_listed = all.is_listed || cache.is_listed;
    all.is_complete = all.is_complete && (!is_there || cache.is_complete);
    std::ranges::move(cache.living, std::back_inserter(all.living));
    std::ranges::move(cache.problems, std::back_inserter(all.problems));
    std::ranges::move(cache.not_seen, std::back_inserter(all.not_seen));
    all.unread.merge(cache.unread);
    all.told.merge(cache.told);
  }
  all.is_complete = all.is_complete && all.is_listed;
  return all;
}

}  // namespace ipmasq::cni
