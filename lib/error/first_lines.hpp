// Lists that somebody reads, however long what they come from is.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ipmasq {

/// How many lines of one kind are told.
inline constexpr std::size_t most_lines = 10;

/// All of at most most_lines, else the first ones and "and N more". `more`: what follows that.
std::vector<std::string> first_lines(std::vector<std::string> lines, const std::string& more = "");

/// What stands for the lines that are left out.
std::string and_more(std::size_t left, const std::string& more = "");

}  // namespace ipmasq
