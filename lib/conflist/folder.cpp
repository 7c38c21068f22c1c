#include "conflist/folder.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "conflist/entry.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

bool is_considered_before(std::string_view name, std::string_view suffix) {
  return name.ends_with(suffix) && is_considered(name.substr(0, name.size() - suffix.size()));
}

}  // namespace

std::string backup_of(std::string_view name) {
  return std::string(name) + std::string(backup_suffix);
}

std::string kept_entry_of(std::string_view name) {
  return std::string(name) + std::string(entry_suffix);
}

std::string_view stem_of(std::string_view name) {
  return name.substr(0, name.rfind('.'));
}

std::array<std::string, 2> list_names_of(std::string_view single) {
  return {std::string(stem_of(single)) + ".conflist", std::string(single) + ".conflist"};
}

std::array<std::string, 3> single_names_of(std::string_view list) {
  const std::string stem(stem_of(list));
  return {stem, stem + ".conf", stem + ".json"};
}

bool is_beside(std::string_view name) {
  return is_considered_before(name, backup_suffix) || is_considered_before(name, entry_suffix);
}

bool is_put_aside(std::string_view name) {
  return std::ranges::any_of(aside_suffixes,
                             [name](std::string_view suffix) { return is_considered_before(name, suffix); });
}

void Folder::tell_what_was_read(Plan& plan) const {
  for (auto& step : plan.steps) {
    step.before = readable_text(step.name);
    step.other_before = readable_text(step.other);
  }
}

std::optional<std::string> Folder::text(std::string_view name) const {
  const auto* const file = find(name);
  if (file == nullptr) return std::nullopt;
  if (file->is_folder) throw Error(Kind::failed, in(name) + " is a folder");
  if (!file->trouble.empty()) throw Error(Kind::failed, in(name) + ": " + file->trouble);
  return file->text;
}

std::optional<std::string> Folder::readable_text(std::string_view name) const {
  const auto* const file = find(name);
  const bool is_readable = file != nullptr && !file->is_folder && file->trouble.empty();
  return is_readable ? std::optional(file->text) : std::nullopt;
}

const File* Folder::find(std::string_view name) const {
  for (const auto& file : files_) {
    if (file.name == name) return &file;
    const auto plugin = std::ranges::find(file.plugins, name, &File::name);
    if (plugin != file.plugins.end()) return std::to_address(plugin);
  }
  return nullptr;
}

std::string told_of(const Folder& folder, const Network& network) {
  return folder.in(network.file.name) + ": " + network.reason;
}

std::string told_of_links(const Folder& folder, const Network& network) {
  return folder.in(network.file.name) + " has " + std::to_string(network.file.links) +
         " names (hard links): written anew under one, the others would stay what it was";
}

Network network_of(std::string name, std::string text) {
  return read_networks({{.name = std::move(name), .text = std::move(text)}}).front();
}

std::string made_of(const std::string& single, const std::string& entry) {
  return with_entry(as_list(single), entry);
}

bool is_made_of(const std::string& list, const std::string& single) {
  const auto entry = entry_of(list);
  return entry && made_of(single, *entry) == list;
}

bool can_be_made_of(const std::string& single) {
  return network_of("x.conf", single).is_loaded();
}

}  // namespace ipmasq::conflist
