// Which folders of a node are meant: files in, a choice with its reason out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/flavour.hpp"
#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// What runs pods on a node, as its files say.
struct Candidate {
  Flavour flavour = Flavour::kubeadm;
  Folders folders;
  bool is_assumed = false;  ///< named by the operator, and no file of it is there: as it is built

  /// "k3s: networks in ... (...), plugins in ... (...)"
  std::string to_text() const;
};

/// Those whose files are there: the configuration of k3s, RKE2, microk8s and CRI-O; of containerd, CRI-O or
/// cri-dockerd beside a kubelet, which is told whose socket is meant; podman's, where it runs CNI plugins.
/// CRI-O's alone counts no more where the kubelet is told another's socket, or where k3s, RKE2 or microk8s
/// has its own containerd and CRI-O does not run; and containerd's alone, where it starts pods and nothing
/// else is found. Throws Error where one of them may be there and cannot be read.
std::vector<Candidate> find_candidates(const NodeFiles& files);

struct Choice {
  std::filesystem::path networks;
  std::vector<std::filesystem::path> plugins;  ///< in the order of the search, at least one
  std::filesystem::path plugin;  ///< of these: where ip-masq is, or else the first that is there and can be
                                 ///< written, or that is not there, or the first
  std::string reason;            ///< a line for the operator
  bool is_found = false;         ///< false: nothing of the node tells, and these are the usual ones
  bool is_assumed = false;       ///< see Candidate
  bool is_podmans = false;       ///< podman alone is found, which takes each network by its name
  Folders of_pods = {};          ///< of what runs pods: podman takes no part in that beside another
};

/// `flavour`: what the operator says; none: what is found. Throws Error: wrong_config with what to write,
/// where two are found that look in different folders, or what was named runs no CNI plugins; and where
/// something cannot be read.
Choice choose(std::optional<Flavour> flavour, const NodeFiles& files);

}  // namespace ipmasq::runtime
