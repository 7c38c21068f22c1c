#include "os/node_name.hpp"

#include <sys/utsname.h>

#include <cstdlib>

namespace ipmasq::os {

std::string node_name() {
  const char* const given = std::getenv("NODE_NAME");  // NOLINT(concurrency-mt-unsafe): nobody sets any
  if (given != nullptr && *given != '\0') return given;
  utsname names{};
  ::uname(&names);  // it fails for a bad address alone
  std::string host = static_cast<const char*>(names.nodename);
  for (char& c : host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return host;
}

}  // namespace ipmasq::os
