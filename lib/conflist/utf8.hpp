// Text as Go's JSON reads it (encoding/json): what is no UTF-8, and half of a surrogate pair that is escaped,
// is no error, but stands for U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace ipmasq::conflist {

/// The text with each such byte as '?' and each such escape as "\ufffd": UTF-8 throughout, and every place in
/// it is the same place in `text`.
std::string with_utf8_alone(std::string_view text);

}  // namespace ipmasq::conflist
