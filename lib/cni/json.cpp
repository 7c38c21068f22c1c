#include "cni/json.hpp"

#include "error/error.hpp"

namespace ipmasq::cni {

Json parse_json(std::string_view text, const std::string& what) {
  const auto limit_depth = [&what](int depth, Json::parse_event_t /*event*/, const Json& /*parsed*/) {
    if (depth > deepest_json) {
      throw Error(Kind::wrong_text,
                  what + " is nested deeper than " + std::to_string(deepest_json) + " levels");
    }
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
  } catch (const Json::parse_error& error) {
    throw Error(Kind::wrong_text, what + " is not JSON: it goes wrong at byte " + std::to_string(error.byte));
  } catch (const Json::exception& error) {
    throw Error(Kind::wrong_text, what + " is not JSON: a number is out of range");
  }
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string excerpt(const Json& value) {
  constexpr std::size_t longest = 80;
  auto text = to_text(value);
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

}  // namespace ipmasq::cni
