// Operands of commands, from their text.
#pragma once

#include <string>

#include "net/address.hpp"

namespace ipmasq::plugin {

/// Throws Error{wrong_config} that names `what` ("SRC", "HOST").
net::Address parse_operand(const std::string& what, const std::string& text);

}  // namespace ipmasq::plugin
