// Values from texts, for tests that know what they write.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "error/error.hpp"
#include "net/address.hpp"
#include "plugin/verbs/error_codes.hpp"

namespace ipmasq::test {

inline net::Prefix prefix(std::string_view text) {
  return net::parse_interface_address(text).value().network();
}

inline net::Address address(std::string_view text) {
  return net::parse_address(text).value();
}

inline net::InterfaceAddress interface_address(std::string_view text) {
  return net::parse_interface_address(text).value();
}

inline std::string lines(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += text + "\n";
  return all;
}

/// "CODE: MESSAGE" of the Error that `call` throws; empty where it throws none.
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return std::to_string(plugin::cni_code(error.kind())) + ": " + error.what();
  }
  return "";
}

}  // namespace ipmasq::test
