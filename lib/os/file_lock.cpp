#include "os/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "error/error.hpp"

namespace ipmasq::os {

namespace {

using Clock = std::chrono::steady_clock;

// Interrupts this thread's blocking system calls every few milliseconds, so that a blocking flock(2), which
// is fair and wakes at once, can be given up. A single alarm could fire just before the call and be lost.
class Ticks {
 public:
  Ticks() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &previous_);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = ::gettid();
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) throw_errno("cannot make a timer");
    constexpr long interval = 20'000'000;
    const itimerspec every{{0, interval}, {0, interval}};
    ::timer_settime(timer_, 0, &every, nullptr);
  }
  ~Ticks() {
    ::timer_delete(timer_);
    ::sigaction(SIGALRM, &previous_, nullptr);
  }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;
  Ticks(Ticks&&) = delete;
  Ticks& operator=(Ticks&&) = delete;

 private:
  timer_t timer_{};
  struct sigaction previous_ {};
};

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, LockKind kind, std::chrono::nanoseconds timeout)
    : file_(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)) {
  if (!file_.is_open()) throw_errno("cannot open the lock " + path.string());
  const int operation = kind == LockKind::shared ? LOCK_SH : LOCK_EX;
  if (::flock(file_.number(), operation | LOCK_NB) == 0) return;

  const auto deadline = Clock::now() + timeout;
  const Ticks ticks;
  while (::flock(file_.number(), operation) != 0) {
    if (errno != EINTR) throw_errno("cannot lock " + path.string());
    if (Clock::now() >= deadline) {
      throw Error(Kind::busy, "the lock " + path.string() + " is still held by another process",
                  "fuser -v " + path.string() + " names it; lockTimeout says how long to wait");
    }
  }
}

}  // namespace ipmasq::os
