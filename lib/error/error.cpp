#include "error/error.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

namespace ipmasq {

Error::Error(Kind kind, const std::string& message, std::string details)
    : std::runtime_error(message), kind_(kind), details_(std::move(details)) {}

Kind kind_of(int number) {
  switch (number) {
    case ENOENT:           // no such table, chain, or kind of expression
    case ENOPROTOOPT:      // ip_tables is not there to answer
    case EPROTONOSUPPORT:  // nor is nfnetlink
    case EAFNOSUPPORT:     // nor is the family
    case EOPNOTSUPP:       // nor is nf_tables, or it cannot do this
    case ENOSYS:
      return Kind::absent;
    case EPERM:
    case EACCES:
      return Kind::forbidden;
    case EAGAIN:
    case EBUSY:
    case EINTR:
    case ERESTART:  // nf_tables: committed by somebody else since it was read
      return Kind::busy;
    default:
      return Kind::failed;
  }
}

std::string text_of(int number) {
  return std::generic_category().message(number);
}

void throw_errno(const std::string& tried) {
  const int number = errno;
  throw Error(Kind::failed, tried + ": " + text_of(number));
}

}  // namespace ipmasq
