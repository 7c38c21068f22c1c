// Which list of a folder of network configurations pods get.
#pragma once

#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "doctor/facts.hpp"

namespace ipmasq::doctor {

struct ListOfPods {
  const conflist::Network* file = nullptr;  ///< that it stands in; nullptr where there is none
  conflist::Network network = {};           ///< the same, or a copy that multus keeps in it
  std::string told = {};  ///< "/etc/cni/net.d/10-flannel.conflist is what the runtime loads"
  bool is_copy = false;
  std::string elsewhere = {};  ///< what multus hands pods on to, where that is not in the folder
  bool is_missing = false;     ///< that would be a file of the folder
};

/// The list that the runtime itself loads; nullptr where there is none.
const conflist::Network* list_of_runtime(const Surroundings& node);

/// Whether it is known that pods' runtime reads that folder, and that pods get nothing where it has no list:
/// podman has a network of its own.
bool is_folder_of_pods(const Facts& facts);

ListOfPods list_of_pods(const Facts& facts);

/// What pods get where CRI-O passes over `list`, since it does not find, or cannot run, what that asks for;
/// nullptr where it does not, or where there is no other.
const conflist::Network* taken_instead_of(const conflist::Network& list, const Surroundings& node);

/// The list with our entry that matters: what pods get, or else the first that is loaded; nullptr where none
/// has one.
const conflist::Network* list_of_ours(const Facts& facts);

/// The others whose plugins are called for each pod that gets `ours`, without which it does not start: what
/// leads to it (multus), and what containerd takes beside it. None where it is not known that pods get ours.
std::vector<const conflist::Network*> called_beside(const Facts& facts, const conflist::Network& ours);

/// What is recorded of the list's network; nullptr where nothing is.
const Network* record_of(const Facts& facts, const conflist::Network& list);

/// "/etc/cni/net.d/10-flannel.conflist"
std::string path_of(const Facts& facts, const conflist::Network& list);

}  // namespace ipmasq::doctor
