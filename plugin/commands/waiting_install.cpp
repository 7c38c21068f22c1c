#include "plugin/commands/waiting_install.hpp"

#include <poll.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <ostream>
#include <set>
#include <system_error>
#include <utility>

#include "error/error.hpp"
#include "os/signals.hpp"
#include "runtime/node_files.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

// What may change for the better.
struct Watched {
  std::set<fs::path> paths = {};
  watch::FileWatch::Endings endings = {};

  bool operator==(const Watched&) const = default;
};

struct Attempt {
  std::optional<Installed> installed = {};
  std::string why_not = {};
  Watched needs = {};
};

std::optional<Error> try_in(const CommandFolders& folders, const std::string& after, Doing doing,
                            Notes& notes, std::ostream& output) {
  const auto target = target_in(folders, after);
  std::error_code error;
  if (!fs::exists(target.conf_dir, error)) return no_conflist(target);
  return try_to_install(target, doing, notes, output);
}

std::optional<Error> why_not_yet(const CommandFolders& folders, const std::string& after) {
  Notes untold;
  std::ostream nowhere(nullptr);
  return try_in(folders, after, Doing::pretend, untold, nowhere);
}

std::optional<CommandFolders> ask_for_folders(const FolderOptions& options, Attempt& attempt) {
  const runtime::RealNodeFiles files;
  std::optional<CommandFolders> folders;
  try {
    folders = folders_for(options, files);
  } catch (const Error& error) {
    attempt.why_not = whole_text(error);
  }
  attempt.needs.paths = files.asked();
  if (!folders) return folders;
  attempt.needs.paths.insert(folders->bin_dir);
  attempt.needs.paths.insert(folders->searched.begin(), folders->searched.end());
  attempt.needs.endings = conflists_of(folders->conf_dir);
  return folders;
}

Attempt try_now(const FolderOptions& options, const std::string& after, std::ostream& output) {
  Attempt attempt;
  auto folders = ask_for_folders(options, attempt);
  // A runtime that came before its conflist may have come after its folders were asked for.
  while (folders) {
    if (const auto why = why_not_yet(*folders, after)) {
      attempt.why_not = whole_text(*why);
      return attempt;
    }
    const auto before = std::exchange(folders, ask_for_folders(options, attempt));
    if (folders == before) break;
  }
  if (!folders) return attempt;
  Notes notes;
  if (!folders->reason.empty()) notes.push_back(folders->reason);
  if (const auto why = try_in(*folders, after, Doing::act, notes, output)) {
    attempt.why_not = whole_text(*why);
  } else {
    attempt.installed = {std::move(*folders), std::move(notes)};
  }
  return attempt;
}

}  // namespace

Installed install_when_possible(const FolderOptions& options, const std::string& after,
                                std::ostream& output) {
  const os::Signals signals{SIGTERM, SIGINT};
  watch::FileWatch file_watch;
  Watched watched;
  std::string told;
  for (;;) {
    file_watch.watch(watched.paths, watched.endings);
    auto attempt = try_now(options, after, output);
    if (attempt.installed) return std::move(*attempt.installed);
    // What came before it was watched is told of by nobody.
    if (std::exchange(watched, attempt.needs) != attempt.needs) continue;
    if (std::exchange(told, attempt.why_not) != told) output << told << ": waiting for it" << std::endl;
    std::array<pollfd, 2> waited{{{signals.descriptor(), POLLIN, 0}, {file_watch.descriptor(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), file_watch.timeout());
    if (signals.drain() != 0) throw Error(Kind::wrong_config, told);
  }
}

}  // namespace ipmasq::plugin
