// What is recorded of networks and attachments, as values and as the texts of their files.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cni/request.hpp"
#include "config/backend.hpp"
#include "config/made_of.hpp"
#include "net/address.hpp"

namespace ipmasq::state {

/// A pod's interface in a network.
struct Attachment {
  cni::AttachmentId id;
  std::vector<net::InterfaceAddress> addresses;  ///< of prevResult, in its order
  std::vector<net::Prefix> pod_subnets;
  std::string pod = {};  ///< "namespace/name", empty where the runtime did not say
  bool bypasses_node =
      false;  ///< its packets do not pass this node's NAT: macvlan, a device moved into the pod
  std::string adopted_from =
      {};  ///< the network namespace of a pod that no ADD recorded, and that no DEL may tell of; else empty
  std::string policy = {};    ///< by which it leads by its own addresses as well; empty for none
  std::string asks_for = {};  ///< the policy that its annotation names; empty for none
  bool has_lost_address =
      false;  ///< another pod of the network has it by now, though nobody said that this ended

  bool has(const net::Address& address) const;

  bool operator==(const Attachment&) const = default;
};

/// Where the rules of a network are.
struct Placement {
  config::Backend on = config::Backend::iptables;  ///< carries them
  std::optional<config::Backend> leaving = {};     ///< may have some of them as well: said until it is clean

  bool operator==(const Placement&) const = default;
};

/// What is recorded of a network beside its attachments.
struct NetworkRecord {
  config::MadeOf made_of;
  Placement placement;
  /// Pod subnets whose rules stood in the kernel when nothing was recorded of the network: their pods may
  /// live.
  std::set<net::Prefix> unrecorded = {};
  /// Pod subnets that another network had when pods of this one came to them, and LANs, whose other hosts are
  /// no pods: its pods there lead by their own addresses.
  std::set<net::Prefix> shared_subnets = {};
  /// What the rules were made of before, where connections that live are still to follow the change.
  std::optional<config::MadeOf> changed_from = {};
  bool is_carried_over = false;  ///< read from a file of the first format

  /// Of the shared ones, those that hold one of `subnets`: a pod's own address.
  std::set<net::Prefix> shared_by(const std::set<net::Prefix>& subnets) const;

  bool operator==(const NetworkRecord&) const = default;
};

std::string to_text(const Attachment& attachment);
/// In the earliest format that says all of it: versions that know no later one go on with it.
std::string to_text(const NetworkRecord& record);

/// Throws std::exception for a text that holds no attachment `id`.
Attachment parse_attachment(std::string_view text, const cni::AttachmentId& id);

/// Reads all formats up to this version's. Throws Error{wrong_text} for what is none of them,
/// Error{wrong_config} for the format of a later version, which is not to be touched.
NetworkRecord parse_network_record(std::string_view text);

/// CONTAINER:INTERFACE, the name of an attachment's file; neither holds a ':'. nullopt for any other name.
std::string file_name(const cni::AttachmentId& id);
std::optional<cni::AttachmentId> parse_file_name(const std::string& name);

}  // namespace ipmasq::state
