// JSON as CNI uses it: the order of keys is kept, and the input is hostile.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace ipmasq::cni {

using Json = nlohmann::ordered_json;

/// Objects and arrays within each other; what a runtime or an operator writes stays far below.
inline constexpr int deepest_json = 64;

/// Of a key that stands twice in an object the last one counts. Throws Error{wrong_text} that names `what`
/// and the place, for text that is not JSON, not UTF-8, or nested too deeply.
Json parse_json(std::string_view text, const std::string& what);

/// One line; text that is not UTF-8 is printed with replacement characters.
std::string to_text(const Json& json);

/// A value for an error message: as JSON in ASCII, cut where it is long. Nothing that a terminal obeys or
/// does not show is left as it is.
std::string excerpt(const Json& value);

}  // namespace ipmasq::cni
