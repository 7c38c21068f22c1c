#include "os/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "error/error.hpp"

namespace ipmasq::os {

Signals::Signals(std::initializer_list<int> numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  descriptor_ = FileDescriptor(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor_.is_open()) throw_errno("cannot wait for signals");
}

int Signals::drain() const {
  int number = 0;
  signalfd_siginfo info{};
  while (::read(descriptor(), &info, sizeof info) == sizeof info) {
    if (number != SIGTERM && number != SIGINT) number = static_cast<int>(info.ssi_signo);
  }
  return number;
}

}  // namespace ipmasq::os
