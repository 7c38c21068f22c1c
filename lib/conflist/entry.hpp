// ip-masq's entry in a network configuration list (CNI spec 1.1, section 1, "Network configuration format").
// Values in, values out; the order of keys stays.
#pragma once

#include <string>

#include "cni/json.hpp"
#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

/// Whether `config` is a list, and no single plugin.
bool is_list(const cni::Json& config);

/// Whether a plugin of this type is in the list, or is the single plugin.
bool holds(const cni::Json& config, const std::string& type);

/// The list with our entry at its end, unless it has one somewhere. A single plugin becomes a list. Of
/// flannel's plugin the delegate says "ipMasq": false where it did not say ipMasq, or flannel's plugin would
/// say true where flanneld does not masquerade.
cni::Json with_our_entry(const cni::Json& config);

/// The list without any entry of ours; all else stays.
cni::Json without_our_entry(const cni::Json& config);

}  // namespace ipmasq::conflist
