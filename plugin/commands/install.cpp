#include "plugin/commands/install.hpp"

#include <poll.h>

#include <array>
#include <csignal>
#include <optional>
#include <ostream>
#include <string_view>
#include <utility>

#include "conflist/plan.hpp"
#include "conflist/read_folder.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "os/shared_folder.hpp"
#include "os/signals.hpp"
#include "plugin/commands/program_version.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using conflist::Plan;
using conflist::Step;

// Told of what was done, or would be.
void tell(const std::string& done, Doing doing, std::ostream& output) {
  constexpr std::string_view past = "took";
  if (done.empty()) return;
  if (doing == Doing::act) {
    output << done << '\n';
  } else {
    output << "would have " << (done.starts_with(past) ? "taken" + done.substr(past.size()) : done) << '\n';
  }
}

void take(const fs::path& folder, const Step& step) {
  switch (step.kind) {
    case Step::Kind::write:
      return os::write_shared(folder / step.name, step.text, folder / step.other);
    case Step::Kind::rename:
      return os::rename_shared(folder / step.other, folder / step.name);
    case Step::Kind::link:
      return os::link_shared(folder / step.other, folder / step.name);
    case Step::Kind::remove:
      return os::remove_shared(folder / step.name);
  }
}

// What could not be done and need not have been.
Notes follow(const Plan& plan, const fs::path& folder, Doing doing, std::ostream& output) {
  auto notes = plan.notes;
  for (const auto& step : plan.steps) {
    try {
      if (doing == Doing::act) take(folder, step);
    } catch (const Error& error) {
      if (!step.may_fail) throw;
      notes.emplace_back(error.what());
    }
    tell(step.told, doing, output);
  }
  return notes;
}

// Why a program that is there is to stay; empty where it is not.
std::string why_it_stays(const fs::path& path) {
  const auto there = program_version(path);
  const auto ours = parse_version(IP_MASQ_VERSION);
  if (!there || !ours || *there <= *ours) return {};
  return path.string() + " was left as it is: it is ip-masq " + to_text(*there) + ", newer than this one, " +
         to_text(*ours);
}

void install_program(const fs::path& bin_dir, Doing doing, Notes& notes, std::ostream& output) {
  const fs::path self = "/proc/self/exe";
  const auto path = bin_dir / conflist::our_type;
  if (os::is_there(path)) {
    if (auto why = why_it_stays(path); !why.empty()) return notes.push_back(std::move(why));
    if (os::have_the_same_bytes(self, path)) return;
  }
  if (doing == Doing::act) {
    os::make_folder(bin_dir, 0755);
    const os::SharedFolder held(bin_dir);
    os::copy_program_shared(self, path);
  }
  tell("put " + path.string(), doing, output);
}

bool has_steps(const Plan& plan) {
  return !plan.steps.empty();
}

bool has_steps(const std::optional<Plan>& plan) {
  return plan && has_steps(*plan);
}

// What `make` plans of the folder's files, and the folder held where there is something to do: what was seen
// before it was held may be no more.
template <typename Make>
auto planned(const std::string& folder, Doing doing, std::optional<os::SharedFolder>& held,
             const Make& make) {
  auto plan = make(conflist::read_folder(folder));
  if (doing == Doing::pretend || !has_steps(plan)) return plan;
  held.emplace(folder);
  return make(conflist::read_folder(folder));
}

// nullopt where there was no conflist for it.
std::optional<Notes> try_to_install(const InstallTarget& target, Doing doing, std::ostream& output) {
  const auto folder = target.conf_dir.string();
  std::optional<os::SharedFolder> held;
  const auto plan = planned(folder, doing, held, [&](const std::vector<conflist::File>& files) {
    return conflist::plan_install(folder, files, target.after);
  });
  if (!plan) return std::nullopt;
  Notes notes;
  install_program(target.bin_dir, doing, notes, output);
  auto more = follow(*plan, folder, doing, output);
  notes.insert(notes.end(), more.begin(), more.end());
  return notes;
}

std::string what_is_missing(const InstallTarget& target) {
  return "no conflist in " + target.conf_dir.string() + " has a plugin of type \"" + target.after + "\"";
}

std::string what_is_there(const InstallTarget& target) {
  const auto folder = target.conf_dir.string();
  std::string lines;
  for (const auto& line : conflist::why_not_found(folder, conflist::read_folder(folder), target.after))
    lines += "\n  " + line;
  return lines;
}

}  // namespace

Notes install(const InstallTarget& target, Doing doing, std::ostream& output) {
  if (auto notes = try_to_install(target, doing, output)) return *notes;
  throw Error(Kind::wrong_config, what_is_missing(target),
              "install that plugin first, or name another with --after" + what_is_there(target));
}

Notes install_when_possible(const InstallTarget& target, std::ostream& output) {
  const os::Signals signals{SIGTERM, SIGINT};
  watch::FileWatch file_watch;
  for (bool has_told = false;; has_told = true) {
    file_watch.watch({target.conf_dir / "conflists"});
    std::error_code error;
    if (fs::exists(target.conf_dir, error)) {
      if (auto notes = try_to_install(target, Doing::act, output)) return *notes;
    }
    if (!has_told) output << what_is_missing(target) << ": waiting for it" << std::endl;
    std::array<pollfd, 2> waited{{{signals.descriptor(), POLLIN, 0}, {file_watch.descriptor(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), file_watch.timeout());
    if (signals.drain() != 0) throw Error(Kind::wrong_config, what_is_missing(target));
  }
}

Notes uninstall(const InstallTarget& target, Doing doing, std::ostream& output) {
  const auto folder = target.conf_dir.string();
  std::optional<os::SharedFolder> held;
  const auto plan = planned(folder, doing, held, [&](const std::vector<conflist::File>& files) {
    return conflist::plan_uninstall(folder, files);
  });
  auto notes = follow(plan, folder, doing, output);
  if (plan.failures.empty()) return notes;
  std::string joined;
  for (const auto& failure : plan.failures) joined += (joined.empty() ? "" : "; ") + failure;
  throw Error(Kind::failed, "an entry may be left: " + joined);
}

}  // namespace ipmasq::plugin
