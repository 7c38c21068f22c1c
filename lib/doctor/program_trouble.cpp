#include "doctor/program_trouble.hpp"

#include <elf.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>

#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "os/file.hpp"

namespace ipmasq::doctor {

namespace {

namespace fs = std::filesystem;

// The beginning of a file, with all that tells of its parts.
class Head {
 public:
  explicit Head(const fs::path& path) : blocks_(path), bytes_(blocks_.next()) {}

  bool is_script() const { return bytes_.starts_with("#!"); }
  bool is_elf() const { return bytes_.starts_with(ELFMAG); }

  /// Of ELF; zero where there is nothing.
  template <typename Part>
  Part at(std::uint64_t offset) const {
    Part part{};
    if (offset < bytes_.size())
      std::memcpy(&part, bytes_.substr(offset).data(), std::min(bytes_.size() - offset, sizeof part));
    return part;
  }

  Elf64_Ehdr header() const { return at<Elf64_Ehdr>(0); }

 private:
  os::Blocks blocks_;
  std::string_view bytes_;
};

// Machines whose programs the kernel of another one runs as well.
bool is_smaller_one(unsigned machine, unsigned here) {
  return (machine == EM_386 && here == EM_X86_64) || (machine == EM_ARM && here == EM_AARCH64);
}

// Up to the end of what is loaded of it.
std::uint64_t size_of_program(const Head& head) {
  const auto header = head.header();
  std::uint64_t end = sizeof header;
  for (std::uint64_t number = 0; number < header.e_phnum; ++number) {
    const auto part = head.at<Elf64_Phdr>(header.e_phoff + number * sizeof(Elf64_Phdr));
    if (part.p_type == PT_LOAD) end = std::max(end, part.p_offset + part.p_filesz);
  }
  return end;
}

std::string trouble_of_elf(const Head& head, std::uintmax_t size) {
  const auto its = head.header();
  const auto ours = Head("/proc/self/exe").header();
  if (is_smaller_one(its.e_machine, ours.e_machine)) return {};
  const bool is_alike = std::ranges::equal(std::span(its.e_ident).first(EI_DATA + 1),
                                           std::span(ours.e_ident).first(EI_DATA + 1));
  if (!is_alike || its.e_machine != ours.e_machine) {
    return "is of another machine: ELF's number of it is " + std::to_string(its.e_machine) + ", and " +
           std::to_string(ours.e_machine) + " here";
  }
  if (its.e_ident[EI_CLASS] != ELFCLASS64 || size >= size_of_program(head)) return {};
  return "is cut off: it has " + std::to_string(size) + " bytes of at least " +
         std::to_string(size_of_program(head));
}

bool has_zeros_alone(const fs::path& path) {
  os::Blocks blocks(path);
  for (auto block = blocks.next(); !block.empty(); block = blocks.next()) {
    if (block.find_first_not_of('\0') != std::string_view::npos) return false;
  }
  return true;
}

bool is_kept_from_running(const fs::path& path) {
  struct statvfs file_system {};
  return ::statvfs(path.c_str(), &file_system) == 0 && (file_system.f_flag & ST_NOEXEC) != 0;
}

}  // namespace

std::string program_trouble(const fs::path& path) {
  std::error_code error;
  const auto mode = fs::status(path, error).permissions();
  constexpr auto any = fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;
  if ((mode & any) == fs::perms::none) return "has a mode that lets nobody run it";
  if (is_kept_from_running(path)) return "is on a file system that is mounted noexec";
  const auto size = fs::file_size(path, error);
  if (error) throw Error(Kind::failed, "cannot look at " + path.string() + ": " + error.message());
  if (size == 0) return "is empty";
  const Head head(path);
  if (head.is_elf()) return trouble_of_elf(head, size);
  return head.is_script() ? "" : "is no program: neither ELF nor a script with #!";
}

std::string what_is_no_file(const fs::path& path) {
  std::error_code error;
  switch (fs::status(path, error).type()) {
    case fs::file_type::none:
      throw Error(Kind::failed, "cannot look at " + path.string() + ": " + error.message());
    case fs::file_type::regular:
    case fs::file_type::not_found:
      return {};
    case fs::file_type::directory:
      return "a folder";
    case fs::file_type::fifo:
      return "a FIFO";
    case fs::file_type::socket:
      return "a socket";
    default:
      return "a device";
  }
}

std::string move_away(const fs::path& path) {
  return "mv -n " + nat::shell_word(path.string()) + " " + nat::shell_word(path.string() + ".moved");
}

bool is_cut_off(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  if (has_zeros_alone(path)) return true;
  const Head head(path);
  const auto size = fs::file_size(path, error);
  return head.is_elf() && (size < sizeof(Elf64_Ehdr) ||
                           (head.header().e_ident[EI_CLASS] == ELFCLASS64 && size < size_of_program(head)));
}

}  // namespace ipmasq::doctor
