// That one agent looks after a state, and no more.
#pragma once

#include <filesystem>

#include "os/file_lock.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// The file that an agent holds.
std::filesystem::path agent_lock_of(const state::Store& store);

/// Makes the state's folder where there is none. Throws Error, of Kind::busy where another agent runs.
os::FileLock lock_out_others(const state::Store& store);

}  // namespace ipmasq::plugin
