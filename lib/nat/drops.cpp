#include "nat/drops.hpp"

#include "nat/walk.hpp"

namespace ipmasq::nat {

std::vector<Drop> drops(const Foreign& foreign, const Flow& flow) {
  const OurPlace nowhere;
  Walk walk(foreign, nowhere, flow);
  walk.run();
  return walk.drops();
}

}  // namespace ipmasq::nat
