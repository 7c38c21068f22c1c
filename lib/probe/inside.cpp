#include "probe/inside.hpp"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <future>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::probe {

namespace {

void enter(const std::string& path) {
  const os::FileDescriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (opened.is_open() && ::setns(opened.number(), CLONE_NEWNET) == 0) return;
  const int number = errno;
  throw Error(kind_of(number), "cannot enter the network namespace " + path + ": " + text_of(number) +
                                   (kind_of(number) == Kind::forbidden ? " (CAP_SYS_ADMIN is needed)" : ""));
}

}  // namespace

// A thread is in a network namespace by itself: the others of this process stay where they are.
void inside(const std::string& network_namespace, const std::function<void()>& work) {
  std::async(std::launch::async, [&] {
    enter(network_namespace);
    work();
  }).get();
}

}  // namespace ipmasq::probe
