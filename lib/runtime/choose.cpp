#include "runtime/choose.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "error/error.hpp"
#include "runtime/containerd.hpp"
#include "runtime/cri_dockerd.hpp"
#include "runtime/crio.hpp"
#include "runtime/kubelet.hpp"
#include "runtime/podman.hpp"
#include "runtime/rancher.hpp"
#include "runtime/unit_folders.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

constexpr auto usual_containerd_file = "/etc/containerd/config.toml";
constexpr auto crio_socket = "/run/crio/crio.sock";  // as CRI-O is built
constexpr auto microk8s_file = "/var/snap/microk8s/current/args/containerd-template.toml";
constexpr auto machine_config =
    "/etc/machine-config-daemon";  // of OpenShift's operator, on each of its nodes

constexpr auto explicit_folders = "--conf-dir DIR --bin-dir DIR";

// ---- what each flavour's files say; nullopt where they are not there

// Before k3s had a folder of plugins for all of its versions, each had one of its own: the name that leads to
// it holds for the next version as well.
void follow_version(const NodeFiles& files, const K3s& k3s, Folders& folders) {
  const auto version = files.target_of(k3s.version);
  for (auto& folder : folders.plugins) {
    if (!version.empty() && folder == (version / "bin").lexically_normal()) folder = k3s.older_plugins;
  }
}

// Of one that is a service of its own: kops' has another.
fs::path containerd_file(const NodeFiles& files) {
  return path_of_option({"containerd.service"}, {"config", "c"}, files).value_or(usual_containerd_file);
}

std::optional<Folders> read_plain_containerd(const NodeFiles& files, const fs::path& path,
                                             const Replaced& replaced = {}) {
  const auto found = read_containerd(files, path, replaced);
  return found && found->runs_pods ? std::optional(found->folders) : std::nullopt;
}

bool names(const std::string& endpoint, std::string_view socket) {
  return endpoint.find(socket) != std::string::npos;
}

// Of a runtime that is not k3s' own: container-runtime-endpoint in its configuration or unit. Empty where
// there is none that is known.
std::string external_endpoint_of_k3s(const NodeFiles& files) {
  std::string endpoint;
  for (const auto& path : rancher_settings("k3s", files)) {
    const auto text = files.text_of(path);
    if (auto found = text ? endpoint_in(*text) : std::nullopt) endpoint = std::move(*found);
  }
  if (auto said = rancher_option("k3s", {"container-runtime-endpoint"}, files)) endpoint = said->value;
  const bool is_known =
      names(endpoint, "crio") || (names(endpoint, "containerd") && !names(endpoint, "k3s/containerd"));
  return is_known ? endpoint : std::string();
}

// Folders alone are what is left of one.
bool has_files_of(const K3s& k3s, const NodeFiles& files) {
  return std::ranges::any_of(std::array{k3s.networks, k3s.plugins, k3s.older_plugins},
                             [&files](const fs::path& folder) { return !files.names_in(folder).empty(); });
}

// Where its own containerd has left no file it is not known whether it has one.
std::optional<Folders> guess_k3s(const K3s& k3s, const NodeFiles& files) {
  if (!has_files_of(k3s, files)) return std::nullopt;
  const auto built = "as k3s is built, there is no " + k3s.containerd_file.string();
  return Folders{k3s.networks, {files.is_there(k3s.plugins) ? k3s.plugins : k3s.older_plugins}, built, built};
}

std::optional<Folders> read_k3s(const NodeFiles& files) {
  const auto k3s = find_k3s(files);
  if (const auto endpoint = external_endpoint_of_k3s(files); !endpoint.empty()) {
    auto found =
        names(endpoint, "crio") ? read_crio(files) : read_plain_containerd(files, containerd_file(files));
    if (found) return found;
  } else if (auto found = read_containerd(files, k3s.containerd_file)) {
    follow_version(files, k3s, found->folders);
    return found->folders;
  }
  return guess_k3s(k3s, files);
}

// snapd copies the folder at each refresh, and keeps the one before for "snap revert".
std::vector<fs::path> other_revisions_of(const fs::path& networks, const NodeFiles& files) {
  const fs::path revisions = "/var/snap/microk8s";
  const auto current = revisions / "current";
  const auto relative = networks.lexically_relative(current);
  std::vector<fs::path> found;
  if (relative.empty() || *relative.begin() == "..") return found;
  const auto running = files.target_of(current).lexically_normal().filename();
  for (const auto& name : files.folders_in(revisions)) {
    if (name == running || name == "current" || name == "common") continue;
    if (auto folder = revisions / name / relative; files.is_there(folder)) found.push_back(std::move(folder));
  }
  return found;
}

std::optional<Folders> read_microk8s(const NodeFiles& files) {
  auto found = read_plain_containerd(files, microk8s_file, {"${SNAP_DATA}", "/var/snap/microk8s/current"});
  if (found) found->other_revisions = other_revisions_of(found->networks, files);
  return found;
}

std::optional<Folders> read_openshift(const NodeFiles& files) {
  return files.is_there(machine_config) ? read_crio(files) : std::nullopt;
}

// The kubelet's word on whose socket is meant.
bool is_told_another(const Kubelet& kubelet) {
  return std::ranges::any_of(std::array{"containerd.sock", "cri-dockerd.sock", "dockershim.sock"},
                             [&kubelet](const char* socket) { return names(kubelet.endpoint, socket); });
}

// Its files may be what a package left that is gone.
std::optional<Folders> read_crio_alone(const NodeFiles& files) {
  if (files.is_there(machine_config)) return std::nullopt;
  const auto kubelet = read_kubelet(files);
  return kubelet && is_told_another(*kubelet) ? std::nullopt : read_crio(files);
}

std::optional<Folders> read_kubeadm(const NodeFiles& files) {
  const auto kubelet = read_kubelet(files);
  if (!kubelet) return std::nullopt;
  if (names(kubelet->endpoint, "crio.sock")) return read_crio(files);
  if (names(kubelet->endpoint, "cri-dockerd.sock") || names(kubelet->endpoint, "dockershim.sock"))
    return read_cri_dockerd(kubelet->said_by, files);
  return read_plain_containerd(files, containerd_file(files));
}

std::optional<Folders> read_podman_with_cni(const NodeFiles& files) {
  const auto podman = read_podman(files);
  return podman.backend == "cni" ? std::optional(podman.folders) : std::nullopt;
}

std::optional<Folders> read(Flavour flavour, const NodeFiles& files) {
  switch (flavour) {
    case Flavour::kubeadm:
      return read_kubeadm(files);
    case Flavour::k3s:
      return read_k3s(files);
    case Flavour::rke2:
      return read_plain_containerd(files, containerd_file_of_rke2(files));
    case Flavour::microk8s:
      return read_microk8s(files);
    case Flavour::openshift:
      return read_openshift(files);
    case Flavour::crio:
      return read_crio_alone(files);
    case Flavour::podman:
      return read_podman_with_cni(files);
  }
  return std::nullopt;
}

// ---- what an operator names, whatever there is of it

Folders usual(Flavour flavour, const NodeFiles& files) {
  const auto built = "as " + to_text(flavour) + " is built, nothing of it is found";
  switch (flavour) {
    case Flavour::k3s: {
      const auto k3s = find_k3s(files);
      return {k3s.networks, {k3s.plugins}, built, built};
    }
    case Flavour::microk8s:
      return {"/var/snap/microk8s/current/args/cni-network",
              {"/var/snap/microk8s/current/opt/cni/bin"},
              built,
              built};
    case Flavour::openshift:
      return {"/etc/kubernetes/cni/net.d", {"/var/lib/cni/bin"}, built, built};
    case Flavour::podman:
      return read_podman(files).folders;
    default:
      return {containerd_networks, {containerd_plugins}, built, built};
  }
}

// The files of what it names may be there without what tells auto whose they are.
std::optional<Folders> read_named(Flavour flavour, const NodeFiles& files) {
  if (auto found = read(flavour, files)) return found;
  if (flavour == Flavour::kubeadm) return read_plain_containerd(files, containerd_file(files));
  if (flavour == Flavour::openshift || flavour == Flavour::crio) return read_crio(files);
  return std::nullopt;
}

void check_podman(const NodeFiles& files) {
  const auto podman = read_podman(files);
  if (podman.backend.empty() || podman.backend == "cni") return;
  throw Error(
      Kind::wrong_config,
      "podman runs no CNI plugin here: its back end is " + podman.backend + " (" + podman.backend_said_by +
          ")",
      "write network_backend = \"cni\" into [network] of /etc/containers/containers.conf, which podman "
      "knows up to version 4");
}

Candidate named(Flavour flavour, const NodeFiles& files) {
  if (flavour == Flavour::podman) check_podman(files);
  auto found = read_named(flavour, files);
  if (found) return {flavour, std::move(*found)};
  return {flavour, usual(flavour, files), true};
}

// ---- the choice

std::vector<fs::path> in_both(const std::vector<fs::path>& left, const std::vector<fs::path>& right) {
  std::vector<fs::path> both;
  std::ranges::copy_if(left, std::back_inserter(both), [&right](const fs::path& each) {
    return std::ranges::find(right, each) != right.end();
  });
  return both;
}

// The best place: where ip-masq is, then a folder that can be written, then one that can be made, perhaps.
fs::path place_of_plugin(const std::vector<fs::path>& folders, const NodeFiles& files) {
  const auto find = [&folders](const auto& is_it) { return std::ranges::find_if(folders, is_it); };
  auto place = find([&files](const fs::path& folder) { return files.is_there(folder / "ip-masq"); });
  if (place == folders.end()) {
    place = find(
        [&files](const fs::path& folder) { return files.is_there(folder) && files.can_be_written(folder); });
  }
  const bool is_any_there =
      std::ranges::any_of(folders, [&files](const auto& each) { return files.is_there(each); });
  if (place == folders.end() && is_any_there)
    place = find([&files](const fs::path& folder) { return !files.is_there(folder); });
  return place == folders.end() ? folders.front() : *place;
}

[[noreturn]] void throw_disagreement(const std::vector<Candidate>& candidates) {
  std::string lines;
  std::string flavours;
  for (const auto& each : candidates) {
    lines += (lines.empty() ? "" : "; ") + each.to_text();
    flavours += (flavours.empty() ? "--flavour " : " or --flavour ") + to_text(each.flavour);
  }
  throw Error(Kind::wrong_config, "what runs pods on this node does not look in the same folders: " + lines,
              "write which is meant: " + flavours + ", or " + explicit_folders);
}

Choice choose_of(const std::vector<Candidate>& candidates, const NodeFiles& files) {
  Choice choice{.networks = candidates.front().folders.networks,
                .plugins = candidates.front().folders.plugins,
                .plugin = {},
                .reason = {},
                .is_found = true};
  for (const auto& each : candidates) {
    choice.plugins = in_both(choice.plugins, each.folders.plugins);
    if (each.folders.networks != choice.networks || choice.plugins.empty()) throw_disagreement(candidates);
    choice.reason += (choice.reason.empty() ? "" : "; ") + each.to_text();
  }
  choice.is_assumed = std::ranges::any_of(candidates, &Candidate::is_assumed);
  choice.plugin = place_of_plugin(choice.plugins, files);
  const auto of_pods =
      std::ranges::find_if(candidates, [](const Candidate& each) { return each.flavour != Flavour::podman; });
  choice.is_podmans = of_pods == candidates.end();
  if (!choice.is_podmans) choice.of_pods = of_pods->folders;
  return choice;
}

std::vector<Candidate> candidates_of(std::optional<Flavour> flavour, const NodeFiles& files) {
  try {
    return flavour ? std::vector{named(*flavour, files)} : find_candidates(files);
  } catch (const Error& error) {
    if (!error.details().empty()) throw;
    throw Error(error.kind(), error.what(),
                std::string("mend it, or write the folders: ") + explicit_folders);
  }
}

// Beside a containerd that starts pods itself, and whose configuration is written at each start.
bool is_crio_left_over(const std::vector<Candidate>& found, const NodeFiles& files) {
  const auto has = [&found](Flavour flavour) {
    return std::ranges::find(found, flavour, &Candidate::flavour) != found.end();
  };
  const bool has_own_containerd = (has(Flavour::k3s) && files.is_there(find_k3s(files).containerd_file) &&
                                   external_endpoint_of_k3s(files).empty()) ||
                                  has(Flavour::rke2) || has(Flavour::microk8s);
  return has(Flavour::crio) && has_own_containerd && !files.is_there(crio_socket);
}

}  // namespace

std::string Candidate::to_text() const {
  return runtime::to_text(flavour) + ": " + folders.to_text();
}

std::vector<Candidate> find_candidates(const NodeFiles& files) {
  std::vector<Candidate> found;
  for (const auto flavour : all_flavours) {
    if (auto folders = read(flavour, files)) found.push_back({flavour, std::move(*folders)});
  }
  if (is_crio_left_over(found, files))
    std::erase_if(found, [](const Candidate& each) { return each.flavour == Flavour::crio; });
  const bool is_guess = found.size() == 1 && found.front().flavour == Flavour::k3s &&
                        !files.is_there(find_k3s(files).containerd_file) &&
                        external_endpoint_of_k3s(files).empty();
  if (is_guess || (found.empty() && !read_kubelet(files))) {
    if (auto folders = read_plain_containerd(files, containerd_file(files)))
      found.push_back({Flavour::kubeadm, std::move(*folders)});
  }
  return found;
}

Choice choose(std::optional<Flavour> flavour, const NodeFiles& files) {
  const auto candidates = candidates_of(flavour, files);
  if (!candidates.empty()) return choose_of(candidates, files);
  return {.networks = containerd_networks,
          .plugins = {containerd_plugins},
          .plugin = containerd_plugins,
          .reason = std::string("no runtime's configuration is found: networks in ") + containerd_networks +
                    ", plugins in " + containerd_plugins + ", unless --flavour or " + explicit_folders +
                    " say otherwise",
          .is_found = false};
}

}  // namespace ipmasq::runtime
