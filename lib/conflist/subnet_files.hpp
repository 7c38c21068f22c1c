// Where flannel's plugin of a list reads its networks, and where our entry does.
#pragma once

#include <filesystem>
#include <optional>

#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

/// The file that flannel's plugin reads its networks from; nullopt of a list that has none.
std::optional<std::filesystem::path> subnet_file_of_flannel(const Network& network);

struct SubnetFiles {
  std::filesystem::path flannels;
  std::filesystem::path ours;

  bool are_same() const;
};

/// Of a list that has both; nullopt where it has not.
std::optional<SubnetFiles> subnet_files_of(const Network& network);

}  // namespace ipmasq::conflist
