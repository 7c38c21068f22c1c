#include "runtime/flavour.hpp"

#include <algorithm>

namespace ipmasq::runtime {

std::string to_text(Flavour flavour) {
  switch (flavour) {
    case Flavour::kubeadm:
      return "kubeadm";
    case Flavour::k3s:
      return "k3s";
    case Flavour::rke2:
      return "rke2";
    case Flavour::microk8s:
      return "microk8s";
    case Flavour::openshift:
      return "openshift";
    case Flavour::crio:
      return "crio";
    case Flavour::podman:
      return "podman";
  }
  return "";
}

std::optional<Flavour> parse_flavour(std::string_view text) {
  const auto* const found =
      std::ranges::find_if(all_flavours, [text](Flavour each) { return to_text(each) == text; });
  return found == all_flavours.end() ? std::nullopt : std::optional(*found);
}

}  // namespace ipmasq::runtime
