#include "plugin/agent/agent_lock.hpp"

#include <chrono>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::plugin {

std::filesystem::path agent_lock_of(const state::Store& store) {
  return store.folder() / ".agent";
}

// A folder that somebody else has a hand in is refused; its mode is its owner's business.
os::FileLock lock_out_others(const state::Store& store) {
  if (!store.exists()) os::make_folder(store.folder(), 0700);
  try {
    return {agent_lock_of(store), os::LockKind::exclusive, std::chrono::nanoseconds{0}};
  } catch (const Error& locked) {
    if (locked.kind() != Kind::busy) throw;
    throw Error(locked.kind(), "another agent runs on " + store.folder().string());
  }
}

}  // namespace ipmasq::plugin
