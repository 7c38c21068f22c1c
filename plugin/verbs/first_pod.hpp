// Whether the kernel would take the rules of a pod that is not there yet.
#pragma once

#include "netfilter/kernel.hpp"
#include "plugin/verbs/plan.hpp"

namespace ipmasq::plugin {

/// Of a network that is planned: the rules of its pods, or, where it has none, those of a first one, of
/// either family (a node may have one only). Throws Error where the kernel would not take them. Changes
/// nothing, makes no table.
void check_that_kernel_takes(netfilter::NatBackend& backend, const Plan& plan);

/// Of a network without a key of its own, in the back end that "auto" picks. Throws Error like that.
void check_first_pod(netfilter::Kernel& kernel);

}  // namespace ipmasq::plugin
