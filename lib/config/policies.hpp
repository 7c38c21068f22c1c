// Policies: other keys for some pods of a network, told by their namespace, or by what a pod asks for.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"
#include "config/keys.hpp"
#include "config/pod_keys.hpp"

namespace ipmasq::config {

/// Of a pod: the policy that it asks for.
inline constexpr auto policy_annotation = "ip-masq/policy";
/// The capability by which an entry asks a runtime for pods' annotations.
inline constexpr auto annotations_capability = "io.kubernetes.cri.pod-annotations";

struct Policy {
  std::string name;
  std::vector<std::string> namespaces;  ///< globs, of pods that get it without asking
  std::vector<std::string> annotated;   ///< globs, of those that may ask for it
  PodKeys keys;                         ///< where it leaves one out the network's
};

/// Whether a policy can be called so. The longest name is as long as a chain's of the longest network name
/// allows.
bool is_policy_name(std::string_view text);

/// Finds a key of the network's lists, as it is written; nullptr where nobody wrote it.
using FindKey = std::function<const cni::Json*(const char* key)>;

/// `policies` of `keys`, which stand in `file` (nullptr: in the netconf). `network`: what holds where a
/// policy says nothing. Notes in `keys` whatever is wrong.
std::vector<Policy> read_policies(Keys& keys, const AgentFile* file, const PodKeys& network,
                                  const FindKey& find);

/// What is wrong with their keys whatever the network's are.
void check_policies(Keys& keys, const AgentFile* file);

struct PolicyChoice {
  const Policy* policy = nullptr;  ///< none: the network's own keys
  std::string by = {};       ///< why this one: "asked for", "namespaces: team-*"; empty where there is none
  std::string refused = {};  ///< why not the one that is asked for; empty where it is that, or none
};

/// The one asked for (empty: none) where its `annotated` or `namespaces` hold the pod's namespace, else the
/// first whose `namespaces` do. Nothing holds an empty namespace, that of a pod whose runtime did not say it.
PolicyChoice choose_policy(const std::vector<Policy>& policies, std::string_view space,
                           const std::string& asked);

}  // namespace ipmasq::config
