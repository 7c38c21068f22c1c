#include "plugin/agent/lost_networks.hpp"

#include <utility>

namespace ipmasq::plugin {

std::vector<std::string> LostNetworks::told_by(const SyncPass& pass,
                                               const std::map<std::string, std::size_t>& known,
                                               const std::string& state_dir) {
  std::vector<std::string> lines;
  for (const auto& [network, count] : known) {
    if (!pass.attachments.contains(network)) networks_.insert(network);
  }
  std::set<std::string> still_lost;
  for (const auto& source : pass.left_alone) {
    if (!networks_.contains(source.network)) continue;
    still_lost.insert(source.network);
    lines.push_back("state-gone: network " + source.network + ": what was recorded in " + state_dir +
                    " is gone: rules of " + net::to_text(source.prefix) +
                    " stay as they are, and nobody looks after them");
  }
  networks_ = std::move(still_lost);
  return lines;
}

}  // namespace ipmasq::plugin
