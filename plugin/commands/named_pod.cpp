#include "plugin/commands/named_pod.hpp"

#include <set>

#include "cni/json.hpp"
#include "error/error.hpp"
#include "plugin/commands/operands.hpp"

namespace ipmasq::plugin {

namespace {

std::set<net::Address> addresses_of(const std::string& pod, const Recorded& recorded, net::Family family) {
  std::set<net::Address> found;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      if (attachment.pod != pod || attachment.has_lost_address) continue;
      for (const auto& each : attachment.addresses) {
        if (each.address.family == family) found.insert(each.address);
      }
    }
  }
  return found;
}

}  // namespace

bool is_named_pod(const std::string& text) {
  return text.find('/') != std::string::npos;
}

net::Address parse_pod_operand(const std::string& what, const std::string& text, const Recorded& recorded,
                               net::Family family) {
  if (!is_named_pod(text)) return parse_operand(what, text);
  const auto found = addresses_of(text, recorded, family);
  if (found.size() == 1) return *found.begin();
  std::string addresses;
  for (const auto& each : found) addresses += (addresses.empty() ? "" : ", ") + net::to_text(each);
  const std::string of_family = family == net::Family::ipv4 ? "IPv4" : "IPv6";
  throw Error(Kind::wrong_config, what + " is " + cni::excerpt(text) +
                                      ": expected NAMESPACE/POD of a pod that is recorded here with one " +
                                      of_family + " address, or an address" +
                                      (addresses.empty() ? "" : ", of which it has " + addresses));
}

}  // namespace ipmasq::plugin
