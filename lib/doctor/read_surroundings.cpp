#include <algorithm>
#include <system_error>
#include <utility>

#include "config/flannel.hpp"
#include "doctor/facts.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::doctor {

namespace {

constexpr auto docker_file = "/etc/docker/daemon.json";
constexpr auto cache_folder = "/var/lib/cni/results";

std::string text_of(const std::filesystem::path& path) {
  try {
    return os::read_file(path).value_or("");
  } catch (const Error&) {
    return "";
  }
}

std::optional<cni::Json> json_of(const std::filesystem::path& path) {
  auto json = cni::Json::parse(text_of(path), nullptr, false);
  return json.is_object() ? std::optional(std::move(json)) : std::nullopt;
}

std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  std::ranges::sort(entries);
  return entries;
}

bool is_on(const std::filesystem::path& path) {
  return !text_of(path).starts_with("0");
}

bool is_strict(const std::filesystem::path& interface) {
  return text_of(interface / "rp_filter").starts_with("1");
}

std::optional<bool> flannel_masquerades(const std::filesystem::path& subnet_file) {
  try {
    return config::read_flannel_masquerades(subnet_file);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

Surroundings read_surroundings(const std::filesystem::path& conf_dir,
                               const std::filesystem::path& subnet_file) {
  Surroundings node;
  node.subnet_file = subnet_file;
  node.flannel_masquerades = flannel_masquerades(subnet_file);
  for (const auto& path : entries_of(conf_dir)) {
    const bool is_config = path.extension() == ".conflist" || path.extension() == ".conf";
    auto json = is_config ? json_of(path) : std::nullopt;
    if (json) node.conflists.push_back({path, std::move(*json)});
  }
  node.docker_config = json_of(docker_file);
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/ns/net", error);
  for (const auto& path : entries_of("/proc")) {
    // Others' daemons are at work on other networks.
    if (std::filesystem::read_symlink(path / "ns/net", error) != here) continue;
    auto name = text_of(path / "comm");
    if (name.ends_with('\n')) name.pop_back();
    if (!name.empty()) node.processes.insert(name);
  }
  for (const auto& path : entries_of(cache_folder)) node.cached_results.push_back(path.filename().string());
  node.forwards_ipv4 = is_on("/proc/sys/net/ipv4/ip_forward");
  node.forwards_ipv6 = is_on("/proc/sys/net/ipv6/conf/all/forwarding");
  // The kernel takes the larger of "all" and the interface's own (ip-sysctl: rp_filter); 2 is loose.
  const bool all_strict = is_strict("/proc/sys/net/ipv4/conf/all");
  for (const auto& path : entries_of("/proc/sys/net/ipv4/conf")) {
    const auto name = path.filename().string();
    const bool is_interface = name != "all" && name != "default" && name != "lo";
    const bool is_loose = text_of(path / "rp_filter").starts_with("2");
    if (is_interface && !is_loose && (all_strict || is_strict(path))) node.strict_interfaces.push_back(name);
  }
  return node;
}

}  // namespace ipmasq::doctor
