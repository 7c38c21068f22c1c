// The one exception of ip-masq: what a CNI runtime is told when an operation fails.
#pragma once

#include <stdexcept>
#include <string>

namespace ipmasq::cni {

/// CNI spec 1.1, section 5, "Error". Values from 100 on belong to the plugin, which names them where they
/// arise.
enum class ErrorCode : int {
  incompatible_version = 1,
  invalid_environment = 4,
  io_failure = 5,
  decoding_failure = 6,
  invalid_config = 7,
  try_again_later = 11,
  not_available = 50,         ///< STATUS: ADD could not work now
  limited_connectivity = 51,  ///< STATUS: and containers that are there may be cut off
};

/// `message`: what was tried, on what, and what came back. `details`: what to do about it, may be empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, std::string details = "");

  ErrorCode code() const { return code_; }
  const std::string& details() const { return details_; }

 private:
  ErrorCode code_;
  std::string details_;
};

/// Throws Error{io_failure} with `tried` ("cannot open /run/x") and the text of errno.
[[noreturn]] void throw_errno(const std::string& tried);

/// The error object that a plugin prints to stdout, as one line of JSON.
std::string error_json(const std::string& cni_version, const Error& error);

}  // namespace ipmasq::cni
