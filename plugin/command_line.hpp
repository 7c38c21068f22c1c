// The executable as a command-line tool.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>

namespace ipmasq::plugin {

/// 0 done, 1 not (and why, on stderr), 2 wrong usage.
int run_command_line(int argc, const char* const* argv);

enum class OutputFormat { text, json };

/// Networks, pod subnets, attachments, backend, each rule with what it has counted.
void show(const std::filesystem::path& state_dir, OutputFormat format, std::ostream& output);

/// What becomes of the source address of a connection, and which key says so. Throws cni::Error for what is
/// no address.
void explain(const std::filesystem::path& state_dir, const std::string& source,
             const std::string& destination, OutputFormat format, std::ostream& output);

/// Brings the kernel to what is wanted; tells what it changed. Throws cni::Error where rules of a network had
/// to stay as they are, after everything else was done.
void sync(const std::filesystem::path& state_dir, std::ostream& output);

/// Everything on the node that hides pods or can undo an exemption, each with its fix. `conf_dir`: where the
/// runtime's conflists are. Whether there was nothing.
bool diagnose(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir,
              OutputFormat format, std::ostream& output);

}  // namespace ipmasq::plugin
