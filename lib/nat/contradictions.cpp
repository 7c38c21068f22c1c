#include "nat/contradictions.hpp"

#include "nat/walk.hpp"

namespace ipmasq::nat {

std::vector<Contradiction> contradictions(const Foreign& foreign, const OurPlace& ours, const Flow& flow) {
  return Walk(foreign, ours, flow).run();
}

}  // namespace ipmasq::nat
