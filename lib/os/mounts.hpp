// Whether mounts that others make come to be seen here (mount_namespaces(7), "shared subtrees").
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace ipmasq::os {

/// Whether what is mounted below `folder` where its mount came from is mounted here as well. `mountinfo`: the
/// text of /proc/PID/mountinfo (proc_pid_mountinfo(5)); `folder` is one without links.
bool receives_mounts(std::string_view mountinfo, const std::string& folder);

/// The same of this process. Throws Error{failed}.
bool receives_mounts(const std::filesystem::path& folder);

}  // namespace ipmasq::os
