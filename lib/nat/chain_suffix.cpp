#include "nat/chain_suffix.hpp"

#include <algorithm>
#include <cstdint>

namespace ipmasq::nat {

namespace {

constexpr std::size_t suffix_length = 12;
constexpr std::string_view digits = "0123456789abcdef";

// FNV-1a, 64 bits.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return value;
}

}  // namespace

std::string chain_suffix(std::string_view network) {
  const auto value = hash(network);
  std::string text;
  for (unsigned shift = 64; text.size() < suffix_length;) text += digits[value >> (shift -= 4) & 0xfU];
  return text;
}

bool is_chain_suffix(std::string_view text) {
  return text.size() == suffix_length &&
         std::ranges::all_of(text, [](char c) { return digits.find(c) != std::string_view::npos; });
}

}  // namespace ipmasq::nat
