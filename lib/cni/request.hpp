// One call of the plugin: the environment and the netconf on stdin.
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "cni/environment.hpp"
#include "cni/json.hpp"

namespace ipmasq::cni {

struct Request {
  Environment environment;
  Json netconf;  ///< an object
  std::string cni_version =
      {};  ///< of the netconf, one that ip-masq speaks (newest_version where DEL got another)
  std::string network = {};  ///< `name` of the netconf; empty for VERSION
};

/// What an attachment is told apart by, within a network.
struct AttachmentId {
  std::string container_id;
  std::string interface;

  auto operator<=>(const AttachmentId&) const = default;
};

/// Whether a network can be called so: as the spec says, and at most 200 bytes.
bool is_network_name(std::string_view text);

/// Reads all of `input`, at most 4 MiB, as a JSON object. Throws Error{wrong_text}.
Json read_netconf(std::istream& input);

/// The version for answers about `netconf`: its own where ip-masq speaks it, else the newest.
std::string answer_version(const Json& netconf);

/// Throws Error: wrong_config (no name, or one that the spec does not allow), wrong_version
/// (cniVersion unknown, or older than the command). A DEL is served whatever its cniVersion.
Request make_request(Environment environment, Json netconf);

/// What `cni.dev/valid-attachments` and `cni.dev/attachments` of a GC list, in either of them, each once.
/// libcni writes both, with null where no attachment is valid. Throws Error{wrong_config}, also where neither
/// is there.
std::vector<AttachmentId> valid_attachments(const Json& netconf);

}  // namespace ipmasq::cni
