#include "cni/error.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include "cni/json.hpp"

namespace ipmasq::cni {

Error::Error(ErrorCode code, const std::string& message, std::string details)
    : std::runtime_error(message), code_(code), details_(std::move(details)) {}

void throw_errno(const std::string& tried) {
  const int number = errno;
  throw Error(ErrorCode::io_failure, tried + ": " + std::generic_category().message(number));
}

std::string error_json(const std::string& cni_version, const Error& error) {
  Json json{{"cniVersion", cni_version}, {"code", static_cast<int>(error.code())}, {"msg", error.what()}};
  if (!error.details().empty()) json["details"] = error.details();
  return to_text(json);
}

}  // namespace ipmasq::cni
