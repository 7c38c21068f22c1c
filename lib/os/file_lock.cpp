#include "os/file_lock.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <mutex>

#include "error/error.hpp"

namespace ipmasq::os {

namespace {

using Clock = std::chrono::steady_clock;

// Beyond any wait that makes sense, and what a point of time still holds.
constexpr auto longest_wait = std::chrono::hours(24);

// What SIGALRM does belongs to the process: nothing as long as any thread waits.
class AlarmAction {
 public:
  AlarmAction() {
    const std::lock_guard guard(mutex);
    struct sigaction action {};
    action.sa_handler = [](int) {};
    if (users++ == 0) ::sigaction(SIGALRM, &action, &previous);
  }
  ~AlarmAction() {
    const std::lock_guard guard(mutex);
    if (--users == 0) ::sigaction(SIGALRM, &previous, nullptr);
  }
  AlarmAction(const AlarmAction&) = delete;
  AlarmAction& operator=(const AlarmAction&) = delete;
  AlarmAction(AlarmAction&&) = delete;
  AlarmAction& operator=(AlarmAction&&) = delete;

 private:
  inline static std::mutex mutex;
  inline static int users = 0;
  inline static struct sigaction previous {};
};

// Interrupts this thread's blocking system calls every few milliseconds, whatever signals it blocked, so that
// a blocking flock(2), which is fair and wakes at once, can be given up. A single alarm could fire just
// before the call and be lost.
class Ticks {
 public:
  Ticks() {
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_UNBLOCK, &alarm, &previous_mask_);
    if (!start()) {
      const int number = errno;
      put_back();
      errno = number;
      throw_errno("cannot make a timer");
    }
  }
  ~Ticks() {
    ::timer_delete(timer_);
    put_back();
  }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;
  Ticks(Ticks&&) = delete;
  Ticks& operator=(Ticks&&) = delete;

 private:
  bool start() {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = ::gettid();
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return false;
    constexpr long interval = 20'000'000;
    const itimerspec every{{0, interval}, {0, interval}};
    ::timer_settime(timer_, 0, &every, nullptr);
    return true;
  }

  void put_back() const { ::pthread_sigmask(SIG_SETMASK, &previous_mask_, nullptr); }

  AlarmAction action_;
  timer_t timer_{};
  sigset_t previous_mask_{};
};

// By a signal that is blocked, to be taken from a signalfd(2) later. One that is not ends the process.
bool is_told_to_end() {
  sigset_t pending;
  ::sigpending(&pending);
  return ::sigismember(&pending, SIGTERM) == 1 || ::sigismember(&pending, SIGINT) == 1;
}

// Who waits may get a lock on a file that was removed meanwhile, while the next caller makes another.
bool was_removed(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat locked {};
  struct stat now {};
  if (::fstat(file.number(), &locked) != 0) return false;
  if (::stat(path.c_str(), &now) != 0) return errno == ENOENT;
  return locked.st_dev != now.st_dev || locked.st_ino != now.st_ino;
}

FileDescriptor open_lock(const std::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, S_IRUSR | S_IWUSR));
  if (!file.is_open() && errno == EISDIR)
    file = FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) throw_errno("cannot open the lock " + path.string());
  return file;
}

void wait_for(const FileDescriptor& file, const std::filesystem::path& path, int operation,
              Clock::time_point deadline) {
  const Ticks ticks;
  do {
    if (is_told_to_end()) {
      throw Error(Kind::busy,
                  "the lock " + path.string() + " is held by another process, and this one was told to end");
    }
    if (Clock::now() >= deadline) {
      throw Error(Kind::busy, "the lock " + path.string() + " is still held by another process",
                  "fuser -v " + path.string() + " names it; lockTimeout says how long to wait");
    }
    if (::flock(file.number(), operation) == 0) return;
  } while (errno == EINTR);
  throw_errno("cannot lock " + path.string());
}

void lock(const FileDescriptor& file, const std::filesystem::path& path, int operation,
          Clock::time_point deadline) {
  while (::flock(file.number(), operation | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) throw_errno("cannot lock " + path.string());
    return wait_for(file, path, operation, deadline);
  }
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, LockKind kind, std::chrono::nanoseconds timeout) {
  const auto deadline = Clock::now() + std::min<std::chrono::nanoseconds>(timeout, longest_wait);
  do {
    file_ = open_lock(path);
    lock(file_, path, kind == LockKind::shared ? LOCK_SH : LOCK_EX, deadline);
  } while (was_removed(file_, path));
}

}  // namespace ipmasq::os
