#include "config/agent_folder.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "config/netconf.hpp"
#include "error/error.hpp"
#include "error/first_lines.hpp"
#include "os/file.hpp"
#include "os/node_name.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

constexpr std::size_t most_files = 64;
constexpr std::size_t largest_folder = std::size_t{4} << 20U;

[[noreturn]] void refuse_folder(const std::string& problem) {
  throw Error(Kind::wrong_config, problem);
}

// Those of `from` that `into` lacks.
void append(const Json& from, Json& into) {
  std::set<std::string> there;
  for (const auto& item : into) there.insert(item.dump());
  for (const auto& item : from) {
    if (there.insert(item.dump()).second) into.push_back(item);
  }
}

void merge_value(const std::string& key, const Json& value, const std::string& place, AgentFile& into) {
  auto& there = into.keys[key];
  if (there.is_array() && value.is_array()) {
    append(value, there);
    into.places[key] = into.path.string();
  } else if (!key.starts_with("masqLinkLocal") || there != true) {
    there = value;
    into.places[key] = place;
  }
}

void merge(AgentFile file, AgentFile& into) {
  for (const auto& [key, value] : file.keys.items()) {
    if (into.keys.contains(key)) {
      merge_value(key, value, file.places.at(key), into);
    } else {
      into.keys[key] = value;
    }
  }
  into.places.merge(file.places);
  if (!file.node.empty()) into.node = file.node;
  std::ranges::move(file.warnings, std::back_inserter(into.warnings));
  std::ranges::move(file.slips, std::back_inserter(into.slips));
}

struct Folder {
  std::vector<std::filesystem::path> files;
  std::set<std::string> others;  ///< names that are not read, but for hidden ones
  std::vector<std::string> warnings;
};

Folder files_in(const std::filesystem::path& path) {
  std::error_code error;
  Folder folder;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (!name.starts_with("ip-masq")) {
      if (!name.starts_with('.') && folder.others.size() < most_files) folder.others.insert(name);
      continue;
    }
    std::error_code unknown;  // what cannot be looked at is told when it is read
    const auto type = entry->status(unknown).type();
    if (type == std::filesystem::file_type::regular || type == std::filesystem::file_type::none) {
      folder.files.push_back(entry->path());
    } else {
      folder.warnings.push_back(entry->path().string() + " is no regular file, and left alone");
    }
    if (folder.files.size() > most_files)
      refuse_folder("the folder " + path.string() + " has more than " + std::to_string(most_files) +
                    " files whose name begins with ip-masq");
  }
  if (error) throw Error(Kind::failed, "cannot read the folder " + path.string() + ": " + error.message());
  std::ranges::sort(folder.files);
  std::ranges::sort(folder.warnings);
  folder.warnings = first_lines(std::move(folder.warnings), " in the folder " + path.string());
  return folder;
}

[[noreturn]] void refuse_all(std::vector<std::string> problems) {
  std::string told;
  for (const auto& problem : first_lines(std::move(problems), " files")) {
    told += (told.empty() ? "" : "; ") + problem;
  }
  refuse_folder(told);
}

}  // namespace

std::optional<AgentFile> read_agent_folder(const std::filesystem::path& path) {
  const auto folder = files_in(path);
  const auto node = os::node_name();
  AgentFile all{.path = path, .warnings = folder.warnings};
  if (folder.files.empty() && !folder.others.empty()) {
    const auto& other = *folder.others.begin();
    all.slips.push_back(
        path.string() + " has no file whose name begins with ip-masq, but " + cni::excerpt(other) +
        ": expected ip-masq-agent (of a ConfigMap: items: [{key: " + "..., path: ip-masq-agent}])");
  }
  const bool is_told = !all.warnings.empty() || !all.slips.empty();
  bool says_something = false;
  std::vector<std::string> problems;
  std::size_t size = 0;
  for (const auto& each : folder.files) {
    const auto text = os::read_file(each);
    size += text ? text->size() : 0;
    if (size > largest_folder)
      refuse_folder("the files of the folder " + path.string() + " are larger than 4 MiB");
    try {
      auto file = text ? parse_agent_file(*text, each, node) : std::nullopt;
      if (!file) continue;
      check_values(*file);
      says_something = true;
      merge(std::move(*file), all);
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  }
  if (!problems.empty()) refuse_all(problems);
  all.warnings = first_lines(std::move(all.warnings), " in the folder " + path.string());
  all.says_nothing = !says_something && !folder.files.empty();
  return says_something || is_told || all.says_nothing ? std::optional(std::move(all)) : std::nullopt;
}

}  // namespace ipmasq::config
