// Networks whose record is gone though their rules stand: nobody took these away with the last pod.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "plugin/agent/sync_pass.hpp"

namespace ipmasq::plugin {

/// From one pass to the next.
class LostNetworks {
 public:
  /// Their rules that a pass left alone, a line each. `known`: how many attachments each network had before
  /// that pass.
  std::vector<std::string> told_by(const SyncPass& pass, const std::map<std::string, std::size_t>& known,
                                   const std::string& state_dir);

 private:
  std::set<std::string> networks_;
};

}  // namespace ipmasq::plugin
