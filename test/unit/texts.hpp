// Values from texts, for tests that know what they write.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cni/error.hpp"
#include "net/address.hpp"

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

/// "CODE: MESSAGE" of the cni::Error that `call` throws; empty where it throws none.
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const cni::Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "";
}

}  // namespace ipmasq::test
