// What runs a node's pods, by the name that operators know it by.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::runtime {

enum class Flavour { kubeadm, k3s, rke2, microk8s, openshift, crio, podman };

inline constexpr std::array all_flavours{Flavour::kubeadm,   Flavour::k3s,  Flavour::rke2,  Flavour::microk8s,
                                         Flavour::openshift, Flavour::crio, Flavour::podman};

/// "kubeadm", "k3s"; as --flavour takes them.
std::string to_text(Flavour flavour);
std::optional<Flavour> parse_flavour(std::string_view text);

}  // namespace ipmasq::runtime
