#include "os/file_lock.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <functional>
#include <utility>

#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::os {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// A process of its own, which runs `act`, says that it is ready, and lives until it is ended.
class Child {
 public:
  explicit Child(const std::function<void()>& act) {
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    number_ = ::fork();
    if (number_ == 0) {
      act();
      if (::write(ready[1], "", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Child() {
    ::kill(number_, SIGKILL);
    ::waitpid(number_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;

  pid_t number() const { return number_; }

 private:
  pid_t number_ = 0;
};

// In a process of its own: while the caller waits.
void after_a_moment(pid_t process, int signal) {
  if (::fork() != 0) return;
  ::usleep(50'000);
  ::kill(process, signal);
  ::_exit(0);
}

// Blocks signals as a caller may have, until the end of its life, and takes away those that then wait.
class Blocked {
 public:
  explicit Blocked(std::initializer_list<int> numbers) {
    ::sigemptyset(&set_);
    for (const int number : numbers) ::sigaddset(&set_, number);
    ::pthread_sigmask(SIG_BLOCK, &set_, &previous_);
  }
  ~Blocked() {
    const timespec now{};
    while (::sigtimedwait(&set_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
  }
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  Blocked(Blocked&&) = delete;
  Blocked& operator=(Blocked&&) = delete;

 private:
  sigset_t set_{};
  sigset_t previous_{};
};

bool blocks(int number) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, number) == 1;
}

struct HeldLock {
  test::TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "lock";
  Child holder{[this] { new FileLock(path, LockKind::exclusive, 0s); }};  // held until the process ends

  // What is said, and after how long.
  std::pair<std::string, Clock::duration> wait(std::chrono::nanoseconds timeout) const {
    const auto start = Clock::now();
    auto text = test::error_of([&] { const FileLock lock(path, LockKind::shared, timeout); });
    return {std::move(text), Clock::now() - start};
  }
};

}  // namespace

TEST_CASE("a lock is given up after its timeout, whatever signals the caller blocked") {
  const HeldLock held;
  const auto still_held = "11: the lock " + held.path.string() + " is still held by another process";
  const auto [text, time] = held.wait(100ms);
  CHECK(text == still_held);
  CHECK(time >= 100ms);
  CHECK(time < 5s);

  const Blocked blocked{SIGALRM};
  const auto [blocked_text, blocked_time] = held.wait(100ms);
  CHECK(blocked_text == still_held);
  CHECK(blocked_time < 5s);
  CHECK(blocks(SIGALRM));
  CHECK(held.wait(-1s).first == still_held);
}

TEST_CASE("being told to end ends the wait, the longest as well") {
  const HeldLock held;
  const auto told =
      "11: the lock " + held.path.string() + " is held by another process, and this one was told to end";
  for (const int number : {SIGTERM, SIGINT}) {
    const Blocked blocked{number};
    ::kill(::getpid(), number);
    const auto [text, time] = held.wait(1min);
    CHECK(text == told);
    CHECK(time < 5s);
  }
  const Blocked blocked{SIGTERM};
  const Child sender([parent = ::getpid()] { after_a_moment(parent, SIGTERM); });
  const auto [text, time] = held.wait(std::chrono::nanoseconds::max());
  CHECK(text == told);
  CHECK(time < 5s);
}

TEST_CASE("a lock that is let go is had") {
  const HeldLock held;
  const Child sender([holder = held.holder.number()] { after_a_moment(holder, SIGKILL); });
  CHECK(held.wait(1min).first.empty());
}

TEST_CASE("who waited for a lock whose file is removed has the one that is made anew") {
  const HeldLock held;
  const Child remover([&held] {
    if (::fork() != 0) return;
    ::usleep(50'000);
    ::unlink(held.path.c_str());
    ::kill(held.holder.number(), SIGKILL);
    ::_exit(0);
  });
  const FileLock lock(held.path, LockKind::exclusive, 1min);
  CHECK(held.wait(0s).first.starts_with("11: "));
}

TEST_CASE("shared locks go together, and a lock in no folder is an error") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "lock";
  const FileLock first(path, LockKind::shared, 0s);
  CHECK(test::error_of([&] { const FileLock second(path, LockKind::shared, 0s); }).empty());
  CHECK(test::error_of([&] { const FileLock third(path, LockKind::exclusive, 0s); }).starts_with("11: "));
  CHECK(test::error_of([&] {
          const FileLock other(folder.path() / "none" / "lock", LockKind::shared, 0s);
        }) == "5: cannot open the lock " + (folder.path() / "none" / "lock").string() +
                  ": No such file or directory");
}

}  // namespace ipmasq::os
