#include <malloc.h>

#include <csignal>
#include <cstdlib>
#include <ios>

#include "plugin/commands/command_line.hpp"
#include "plugin/verbs/cni_call.hpp"

int main(int argc, char** argv) {
  // A reader that went away is a write error like any other.
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c)
  // stdio's streams give up where a signal comes; those of C++ by themselves go on.
  std::ios::sync_with_stdio(false);
  // Large blocks go back to the kernel as they end, instead of more and more of them staying in the heap.
  constexpr int large = 128 * 1024;
  mallopt(M_MMAP_THRESHOLD, large);
  // Threads that seldom run beside one another need no heap each, in which freed memory stays.
  mallopt(M_ARENA_MAX, 1);
  const bool is_cni_call = std::getenv("CNI_COMMAND") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  return is_cni_call ? ipmasq::plugin::serve_cni_call() : ipmasq::plugin::run_command_line(argc, argv);
}
