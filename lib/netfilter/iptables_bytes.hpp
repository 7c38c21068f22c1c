// Values in blocks of bytes that the kernel lays out.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

namespace ipmasq::netfilter {

template <typename Value>
Value load(const std::byte* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Value>
void store(std::vector<std::byte>& into, std::size_t offset, const Value& value) {
  std::memcpy(into.data() + offset, &value, sizeof value);
}

/// The field is zeroed, and stays terminated.
template <std::size_t size>
// NOLINTNEXTLINE(modernize-avoid-c-arrays): the kernel's field
void store_name(char (&into)[size], std::string_view name) {
  name.copy(into, size - 1);
}

template <std::size_t size>
std::string_view name_in(const char (&name)[size]) {  // NOLINT(modernize-avoid-c-arrays): the kernel's field
  return {name, strnlen(name, size)};
}

}  // namespace ipmasq::netfilter
