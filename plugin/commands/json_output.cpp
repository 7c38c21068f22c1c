#include "plugin/commands/json_output.hpp"

#include <ostream>
#include <string>

#include "nat/foreign_rule.hpp"

namespace ipmasq::plugin {

namespace {

cni::Json printable(cni::Json json) {
  if (json.is_string()) return nat::printable(json.get_ref<const std::string&>());
  if (json.is_structured()) {
    for (auto& value : json) value = printable(std::move(value));
  }
  return json;
}

}  // namespace

void print_json(const cni::Json& json, std::ostream& output) {
  output << printable(json).dump(2) << '\n';
}

}  // namespace ipmasq::plugin
