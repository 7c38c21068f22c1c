#include "watch/file_watch.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "temporary_folder.hpp"

namespace ipmasq::watch {

namespace {

// This process gets no descriptor any more while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  NoDescriptors(NoDescriptors&&) = delete;
  NoDescriptors& operator=(NoDescriptors&&) = delete;

 private:
  rlimit before_{};
};

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

// What each of these shows, by whichever way it is found out.
void check_what_shows(FileWatch& watch, const std::filesystem::path& folder) {
  const auto file = folder / "config" / "file";
  watch.watch({file});
  CHECK(!watch.has_changed());
  std::filesystem::create_directory(folder / "config");
  CHECK(watch.has_changed());
  watch.watch({file});
  CHECK(!watch.has_changed());
  write(file, "text");
  CHECK(watch.has_changed());
  CHECK(!watch.has_changed());
  write(file, "another");
  CHECK(watch.has_changed());
  write(file, "and another");
  CHECK(watch.watch({file}));
  CHECK(!watch.has_changed());
  CHECK_FALSE(watch.watch({file}));
  std::filesystem::remove(file);
  write(folder / "target", "text");
  std::filesystem::create_symlink("../target", file);
  CHECK(watch.has_changed());
  watch.watch({file});
  write(folder / "target", "another");
  CHECK(watch.has_changed());
  std::filesystem::remove_all(folder / "config");
  CHECK(watch.has_changed());
  std::filesystem::create_directory(folder / "config");
  watch.watch({file});
  write(file, "a folder made anew is watched");
  CHECK(watch.has_changed());
}

}  // namespace

TEST_CASE("what happens to files shows") {
  const test::TemporaryFolder folder;
  FileWatch watch;
  check_what_shows(watch, folder.path());
  CHECK(watch.problem().empty());
  CHECK(watch.descriptor() >= 0);
  CHECK(watch.timeout() == -1);
}

TEST_CASE("every link on the way to a file is watched") {
  const test::TemporaryFolder folder;
  for (const auto* const name : {"first", "second", "files", "other"})
    std::filesystem::create_directory(folder.path() / name);
  write(folder.path() / "files" / "file", "text");
  const auto link = folder.path() / "second" / "link";
  std::filesystem::create_symlink("../files", folder.path() / "second" / "folder");
  std::filesystem::create_symlink("folder/file", link);
  std::filesystem::create_symlink(link, folder.path() / "first" / "link");
  std::filesystem::create_symlink("loop", folder.path() / "other" / "loop");
  FileWatch watch;
  const std::set<std::filesystem::path> paths{folder.path() / "first" / "link",
                                              folder.path() / "other" / "loop"};
  const auto changes_at = [&](const std::filesystem::path& path) {
    watch.watch(paths);
    std::filesystem::remove(path);
    write(path, "text");
    return watch.has_changed();
  };
  CHECK(changes_at(folder.path() / "files" / "file"));
  CHECK(changes_at(folder.path() / "second" / "folder"));
  CHECK(changes_at(link));
  CHECK(changes_at(folder.path() / "first" / "link"));
  CHECK(changes_at(folder.path() / "other" / "loop"));
  watch.watch(paths);
  write(folder.path() / "unrelated", "text");
  CHECK(!watch.has_changed());
}

namespace {

// What matters of a folder is seen, and nothing else, by whichever way it is found out.
void check_what_matters(FileWatch& watch, const std::filesystem::path& folder) {
  const auto lists = folder / "lists";
  const auto sees = [&](const std::filesystem::path& path) {
    watch.watch({folder / "program"}, {{lists, {".conf", ".conflist"}}, {lists / "cbr0", {".conf"}}});
    write(path, "text");
    return watch.has_changed();
  };
  CHECK(!sees(folder / "log"));
  CHECK(sees(folder / "program"));
  std::filesystem::create_directory(lists);
  CHECK(watch.has_changed());
  CHECK(!sees(lists / "log"));
  CHECK(!sees(lists / "program"));
  CHECK(!sees(lists / "10.conf.before"));
  CHECK(sees(lists / "10.conf"));
  std::filesystem::create_directory(lists / "cbr0");
  CHECK(watch.has_changed());
  CHECK(sees(lists / "cbr0" / "10.conf"));
  CHECK(!sees(lists / "cbr0" / "10.conflist"));
  std::filesystem::create_symlink("../elsewhere", lists / "20.conflist");
  CHECK(sees(folder / "elsewhere"));
  CHECK(sees(folder / "elsewhere"));
  std::filesystem::remove(lists / "10.conf");
  CHECK(watch.has_changed());
  CHECK(!sees(folder / "other"));
  std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_read);
  CHECK(watch.has_changed());
}

}  // namespace

TEST_CASE("of folders what matters is seen, and nothing else") {
  const test::TemporaryFolder folder;
  FileWatch watch;
  check_what_matters(watch, folder.path());
}

TEST_CASE("a ConfigMap that is swapped") {
  const test::TemporaryFolder folder;
  const auto volume = folder.path() / "volume";
  for (const auto* const version : {"..1", "..2"}) {
    std::filesystem::create_directories(volume / version);
    write(volume / version / "file", version);
  }
  std::filesystem::create_symlink("..1", volume / "..data");
  std::filesystem::create_symlink("..data/file", volume / "file");
  FileWatch watch;
  watch.watch({volume / "file"});
  std::filesystem::create_symlink("..2", volume / "..data_tmp");
  CHECK(!watch.has_changed());
  std::filesystem::rename(volume / "..data_tmp", volume / "..data");
  CHECK(watch.has_changed());
  watch.watch({volume / "file"});
  std::filesystem::remove_all(volume / "..1");
  CHECK(!watch.has_changed());
  write(volume / "..2" / "file", "another");
  CHECK(watch.has_changed());
}

TEST_CASE("who watches, looks and waits for a change sees a file in folders that come meanwhile") {
  constexpr int rounds = 200;
  constexpr int patience = 10'000;  // milliseconds
  for (int round = 0; round < rounds; ++round) {
    const test::TemporaryFolder folder;
    const auto file = folder.path() / "etc" / "crio" / "crio.conf.d" / "file";
    FileWatch watch;
    std::thread maker([&file] {
      std::filesystem::create_directories(file.parent_path());
      write(file, "");
    });
    bool is_told = true;
    for (;;) {
      watch.watch({file});
      if (std::filesystem::exists(file) || !is_told) break;
      pollfd waited{watch.descriptor(), POLLIN, 0};
      is_told = ::poll(&waited, 1, patience) == 1;
    }
    maker.join();
    REQUIRE(is_told);
  }
}

TEST_CASE("where the kernel has no watch left files are looked at, until it has one") {
  const test::TemporaryFolder folder;
  FileWatch watch;
  {
    const NoDescriptors none;
    watch.watch({folder.path() / "file"});
  }
  CHECK(watch.problem().starts_with("the kernel does not tell of changed files (Too many open files): "));
  CHECK(watch.descriptor() == -1);
  CHECK(watch.timeout() > 0);
  write(folder.path() / "file", "text");
  CHECK(watch.has_changed());
  CHECK(!watch.has_changed());
  write(folder.path() / "file", "another");
  CHECK(watch.has_changed());
  check_what_shows(watch, folder.path());
  CHECK(watch.problem().empty());
}

}  // namespace ipmasq::watch
