#include "cni/json.hpp"

#include <cstddef>
#include <unordered_map>
#include <utility>
#include <vector>

#include "error/error.hpp"

namespace ipmasq::cni {

namespace {

// Builds values as they come, none deeper than deepest_json, with a time for each key that does not grow with
// those before it (ordered_json's own parser looks through all of them).
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::string what) : what_(std::move(what)) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*elements*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*elements*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    open_.back().key = std::move(value);
    return true;
  }
  bool parse_error(std::size_t byte, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    constexpr int out_of_range = 406;
    throw Error(Kind::wrong_text,
                what_ + " is not JSON: " +
                    (error.id == out_of_range ? "a number is out of range"
                                              : "it goes wrong at byte " + std::to_string(byte)));
  }

 private:
  struct Open {
    Json* value;
    std::string key = {};                                    ///< of an object, that the next value is for
    std::unordered_map<std::string, std::size_t> keys = {};  ///< of an object: where each stands
  };

  bool add(Json value) {
    static_cast<void>(placed(std::move(value)));
    return true;
  }

  bool open(Json value) {
    if (open_.size() == deepest_json) {
      throw Error(Kind::wrong_text,
                  what_ + " is nested deeper than " + std::to_string(deepest_json) + " levels");
    }
    open_.push_back({.value = placed(std::move(value))});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  // Where it stands from now on, until something is added beside it.
  Json* placed(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    auto& [container, key, keys] = open_.back();
    if (container->is_array()) {
      container->push_back(std::move(value));
      return &container->back();
    }
    auto& object = container->get_ref<Json::object_t&>();
    const auto [known, is_new] = keys.emplace(key, object.size());
    if (is_new) object.emplace_back(std::move(key), nullptr);
    auto& place = (object.begin() + static_cast<std::ptrdiff_t>(known->second))->second;
    place = std::move(value);
    return &place;
  }

  std::string what_;
  Json root_;
  std::vector<Open> open_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& what) {
  // Which the parser would take for the end.
  if (const auto place = text.find('\0'); place != std::string_view::npos)
    throw Error(Kind::wrong_text, what + " is not JSON: it goes wrong at byte " + std::to_string(place + 1));
  Builder builder(what);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string excerpt(const Json& value) {
  constexpr std::size_t longest = 80;
  auto text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

}  // namespace ipmasq::cni
