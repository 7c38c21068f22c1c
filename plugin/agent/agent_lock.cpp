#include "plugin/agent/agent_lock.hpp"

#include "error/error.hpp"
#include "state/layout.hpp"

namespace ipmasq::plugin {

std::filesystem::path agent_lock_of(const state::Store& store) {
  return store.folder() / state::agent_lock_file;
}

os::FileLock lock_out_others(const state::Store& store) {
  try {
    return store.lock_agent();
  } catch (const Error& locked) {
    if (locked.kind() != Kind::busy) throw;
    throw Error(locked.kind(), "another agent runs on " + store.folder().string());
  }
}

}  // namespace ipmasq::plugin
