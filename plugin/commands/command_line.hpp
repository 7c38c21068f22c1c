// The executable as a command-line tool.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

#include "doctor/findings.hpp"
#include "net/address.hpp"
#include "plugin/commands/folders.hpp"

namespace ipmasq::plugin {

/// 0 done, 1 not (and why, on stderr), 2 wrong usage.
int run_command_line(int argc, const char* const* argv);

enum class OutputFormat { text, json };

/// Networks, pod subnets, attachments, backend, each rule with what it has counted.
void show(const std::filesystem::path& state_dir, OutputFormat format, std::ostream& output);

/// What becomes of the source address of a connection, and which key says so. Throws Error for what is
/// no address.
void explain(const std::filesystem::path& state_dir, const std::string& source,
             const std::string& destination, OutputFormat format, std::ostream& output);

/// Brings the kernel to what is wanted; tells what it changed. Throws Error where rules of a network had
/// to stay as they are, after everything else was done.
void sync(const std::filesystem::path& state_dir, std::ostream& output);

/// Whom probe_host asks: by TCP at `port`, by ICMP where there is none; from the pod subnet `from`, or from
/// each.
struct ProbeTarget {
  net::Address host;
  std::optional<std::uint16_t> port = {};
  std::optional<net::Prefix> from = {};
};

/// Whether the host answers what this node's pods send, asked from inside a pod of each subnet where that can
/// be, and which source it sees; what to do where it does not. Whether all is well. Throws Error.
bool probe_host(const std::filesystem::path& state_dir, const ProbeTarget& target, OutputFormat format,
                std::ostream& output);

struct DoctorTarget {
  std::filesystem::path state_dir;
  DoctorFolders folders;
};

/// Everything on the node that hides pods or can undo an exemption, each with its fix. What could not be
/// looked at is told, and ends nothing.
doctor::Health diagnose(const DoctorTarget& target, OutputFormat format, std::ostream& output);

}  // namespace ipmasq::plugin
