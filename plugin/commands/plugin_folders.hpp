// Whether a runtime that starts pods by a list would find our program: its folder, and where the list's other
// plugins are.
#pragma once

#include <optional>

#include "conflist/conflist.hpp"
#include "error/error.hpp"
#include "plugin/commands/install.hpp"

namespace ipmasq::plugin {

struct PlaceJudged {
  std::optional<Error> refusal = {};  ///< wrong_config: with us in the list no pod would start
  Notes notes = {};
};

/// Pods start by this list, so a runtime finds its plugins; where some of them are not in the folders
/// searched (or bin_dir), the runtime looks elsewhere, or elsewhere as well. Refused: where another folder
/// that runtimes use has them all, or where even the plugin `after` is missing. Else what is missing is
/// noted. Names count, whatever they lead to: what is a link on the node may lead nowhere in a container.
PlaceJudged judge(const InstallTarget& target, const conflist::Network& list);

}  // namespace ipmasq::plugin
