// Times a program as whole processes: spawn RUNS one|all INPUT PROGRAM [ARGUMENT...]
//
// Starts PROGRAM once per run with CNI_CONTAINERID=bench-N and INPUT as its standard input; "one": one after
// the other, "all": all at once. Prints the milliseconds of each run and its peak memory in KiB (one), or the
// milliseconds of all together (all), a line each.
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

pid_t start(const char* input, char** argv) {
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  if (posix_spawn(&pid, argv[0], &actions, nullptr, argv, environ) != 0) std::exit(2);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

rusage finish(pid_t pid) {
  int status = 0;
  rusage used{};
  wait4(pid, &status, 0, &used);
  if (status == 0) return used;
  std::cerr << "a run failed with status " << status << '\n';
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const int runs = std::atoi(argv[1]);
  const bool all_at_once = std::string(argv[2]) == "all";
  std::vector<pid_t> running;
  const auto first = Clock::now();
  for (int run = 0; run < runs; ++run) {
    setenv("CNI_CONTAINERID", ("bench-" + std::to_string(run)).c_str(), 1);
    const auto began = Clock::now();
    running.push_back(start(argv[3], argv + 4));
    if (all_at_once) continue;
    const auto used = finish(running.back());
    std::cout << milliseconds_since(began) << ' ' << used.ru_maxrss << '\n';
  }
  if (all_at_once) {
    for (const auto pid : running) finish(pid);
    std::cout << milliseconds_since(first) << '\n';
  }
}
