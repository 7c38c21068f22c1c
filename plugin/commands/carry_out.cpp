#include "plugin/commands/carry_out.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <ostream>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "error/error.hpp"
#include "os/file.hpp"
#include "os/shared_folder.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using conflist::Plan;
using conflist::Step;

// False where somebody else has changed what the step was planned by.
bool take(const fs::path& folder, const Step& step) {
  switch (step.kind) {
    case Step::Kind::write:
      return os::write_shared(folder / step.name, step.text, step.before, folder / step.other);
    case Step::Kind::rename:
      return os::rename_shared(folder / step.other, folder / step.name, step.other_before.value_or(""),
                               step.before);
    case Step::Kind::link:
      return os::link_shared(folder / step.other, folder / step.name);
    case Step::Kind::remove:
      return os::remove_shared(folder / step.name, step.before);
  }
  return true;
}

// What was made for a step that could not be taken then; what somebody else has changed since stays.
void take_back(const fs::path& folder, const Step& step) {
  const auto path = folder / step.name;
  if (step.kind == Step::Kind::write) {
    static_cast<void>(step.before ? os::write_shared(path, *step.before, step.text, path)
                                  : os::remove_shared(path, step.text));
  } else if (step.kind == Step::Kind::link) {
    static_cast<void>(os::remove_shared(path, step.other_before));
  }
}

// Whether what a step that failed is about stands as it was read: it may have failed when all was done.
bool stands_as_before(const fs::path& folder, const Step& step) {
  try {
    return step.kind == Step::Kind::rename || step.kind == Step::Kind::link
               ? os::read_file(folder / step.other) == step.other_before
               : os::read_file(folder / step.name) == step.before;
  } catch (const Error&) {
    return false;
  }
}

// What was made for a step alone that failed: copies, and what comes in the place of what it would have taken
// away. Those that stay all the same.
std::vector<std::string> take_preparations_back(const fs::path& folder,
                                                std::vector<Step>::const_iterator step,
                                                std::vector<Step>::const_iterator first) {
  std::vector<std::string> left;
  while (step != first) {
    --step;
    const bool is_preparation =
        step->told.empty() && (step->kind == Step::Kind::write || step->kind == Step::Kind::link);
    if (!is_preparation) break;
    try {
      take_back(folder, *step);
    } catch (const Error&) {
      left.push_back((folder / step->name).string());
    }
  }
  return left;
}

[[noreturn]] void throw_with_what_is_left(const Error& error, const std::vector<std::string>& left) {
  std::string told;
  for (const auto& path : left) told += (told.empty() ? "; left there: " : ", ") + path;
  throw Error(error.kind(), error.what() + told, error.details());
}

// What a step changes beside what is told of it.
std::string untold(const fs::path& folder, const Step& step) {
  const auto path = (folder / step.name).string();
  const auto place = step.told.find(path);
  const auto end = place == std::string::npos ? place : place + path.size();
  if (end == step.told.size() ||
      (end < step.told.size() && std::string_view(" ,:").find(step.told[end]) != std::string_view::npos))
    return {};
  switch (step.kind) {
    case Step::Kind::write:
      return "written " + path;
    case Step::Kind::rename:
      return "renamed " + (folder / step.other).string() + " to " + path;
    case Step::Kind::link:
      return "made " + path + " of " + (folder / step.other).string();
    case Step::Kind::remove:
      return "removed " + path;
  }
  return {};
}

// Takes all steps and tells of them; where somebody else has changed a file of one, takes back those before
// it: the name of that file. What could not be done and need not have been goes to the notes.
std::optional<std::string> follow(Plan& plan, const fs::path& folder, Doing doing, std::ostream& output) {
  std::vector<std::string> told;
  const auto tell_all = [&] {
    for (const auto& line : told) tell(line, doing, output);
  };
  for (auto step = plan.steps.begin(); step != plan.steps.end(); ++step) {
    try {
      if (doing == Doing::act && !take(folder, *step)) {
        auto changed = step->kind == Step::Kind::rename ? step->other : step->name;
        while (step != plan.steps.begin()) take_back(folder, *--step);
        return changed;
      }
    } catch (const Error& error) {
      if (!step->may_fail) {
        const auto left = stands_as_before(folder, *step)
                              ? take_preparations_back(folder, step, plan.steps.begin())
                              : std::vector<std::string>();
        tell_all();
        throw_with_what_is_left(error, left);
      }
      plan.notes.emplace_back(error.what());
    }
    if (doing == Doing::pretend) told.push_back(untold(folder, *step));
    told.push_back(step->told);
  }
  tell_all();
  return std::nullopt;
}

// What calls that were cut short have left there; `deep`: in its folders as well.
void tidy_up(const fs::path& folder, Doing doing, bool deep, std::ostream& output) {
  std::vector<fs::path> folders{folder};
  if (deep) std::ranges::move(folders_in(folder), std::back_inserter(folders));
  for (const auto& each : folders) {
    if (doing == Doing::act) {
      os::tidy_up(each);
    } else {
      tell_what_is_tidied_up(each, doing, output);
    }
  }
}

}  // namespace

void tell(const std::string& done, Doing doing, std::ostream& output) {
  constexpr std::string_view past = "took";
  if (done.empty()) return;
  if (doing == Doing::act) {
    output << done << '\n';
  } else {
    output << "would have " << (done.starts_with(past) ? "taken" + done.substr(past.size()) : done) << '\n';
  }
}

void tell_what_is_tidied_up(const fs::path& folder, Doing doing, std::ostream& output) {
  if (doing == Doing::act) return;
  for (const auto& left : os::left_unfinished(folder)) tell("removed " + left.string(), doing, output);
}

bool leads_nowhere(const fs::path& path) {
  std::error_code error;
  return fs::is_symlink(fs::symlink_status(path, error)) &&
         fs::status(path, error).type() == fs::file_type::not_found;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) folders.push_back(entry->path());
  }
  return folders;
}

void throw_busy(const fs::path& path) {
  throw Error(Kind::busy,
              path.string() + " was left as it is: somebody else is writing it all the time, tried " +
                  std::to_string(most_tries_to_write) + " times",
              "\"fuser -v " + path.string() + "\" names who has it open");
}

Plan carry_out(Plan plan, const std::string& folder, Doing doing, std::ostream& output,
               const std::function<Plan()>& make) {
  if (doing == Doing::pretend || plan.steps.empty()) {
    tidy_up(folder, doing, plan.steps.empty(), output);
    follow(plan, folder, doing, output);
    return plan;
  }
  const os::SharedFolder held(folder);
  std::optional<std::string> changed;
  for (int tries = 0; tries < most_tries_to_write; ++tries) {
    plan = make();  // what was seen before the folder was held may be no more
    changed = follow(plan, folder, doing, output);
    if (!changed) return plan;
    std::this_thread::sleep_for(rest_between_tries);
  }
  throw_busy(fs::path(folder) / *changed);
}

}  // namespace ipmasq::plugin
