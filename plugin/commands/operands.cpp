#include "plugin/commands/operands.hpp"

#include "error/error.hpp"

namespace ipmasq::plugin {

net::Address parse_operand(const std::string& what, const std::string& text) {
  const auto address = net::parse_address(text);
  if (address) return *address;
  throw Error(Kind::wrong_config,
              what + " is \"" + text + "\": expected an address such as 10.244.1.5 or fd00::5");
}

}  // namespace ipmasq::plugin
