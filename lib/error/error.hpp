// What went wrong, without saying whom it is told to: plugin/verbs/error_codes.hpp has CNI's codes for it.
#pragma once

#include <stdexcept>
#include <string>

namespace ipmasq {

/// What kind of thing went wrong.
enum class Kind {
  wrong_call,     ///< a variable of the environment is missing or malformed
  wrong_version,  ///< of the CNI spec
  wrong_text,     ///< what was read is no JSON
  wrong_config,   ///< what was read is JSON, or YAML, and says what nobody can do
  absent,         ///< the kernel does not have it. The only kind that may decide for another way
  forbidden,      ///< it may be there, but is not for us
  busy,           ///< somebody else is at it: the same call can succeed later
  failed,         ///< it may be there, and was not to be had: memory, descriptors, a disk
  refused,        ///< the kernel looked at our rules and said no
  not_right,      ///< what stands on the node is not what was set
  cannot_add,     ///< an ADD would fail now
  cut_off,        ///< an ADD would fail now, and pods that are there lack their rules
};

/// `message`: what was tried, on what, and what came back. `details`: what to do about it, may be empty.
class Error : public std::runtime_error {
 public:
  Error(Kind kind, const std::string& message, std::string details = "");

  Kind kind() const { return kind_; }
  const std::string& details() const { return details_; }

 private:
  Kind kind_;
  std::string details_;
};

/// What an errno of the kernel says of the thing that was asked for: absent, forbidden, busy, or, whatever
/// the number, failed. An error that is not known is never taken for "there is none".
Kind kind_of(int number);

/// "No such file or directory"
std::string text_of(int number);

/// Throws Error{failed} with `tried` ("cannot open /run/x") and the text of errno: of files, whose absence is
/// no error where it is expected.
[[noreturn]] void throw_errno(const std::string& tried);

}  // namespace ipmasq
