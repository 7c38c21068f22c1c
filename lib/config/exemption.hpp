// What an exemption is worth beside other programs' NAT rules.
#pragma once

namespace ipmasq::config {

/// `hold`: no other NAT rule of the node undoes an exemption. `return_`: rules after ours still apply.
enum class Exemption { hold, return_ };

}  // namespace ipmasq::config
