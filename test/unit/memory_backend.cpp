#include "memory_backend.hpp"

#include "error/error.hpp"

namespace ipmasq::test {

namespace {

class MemoryBackend : public netfilter::NatBackend {
 public:
  MemoryBackend(MemoryKernel& kernel, nat::Ruleset& rules) : kernel_(kernel), rules_(rules) {}

  bool may_hold_rules() override { return !rules_.pod_subnets.empty(); }

  std::vector<std::string> differences(const nat::Ruleset& wanted) override {
    ++kernel_.reads;
    if (rules_.pod_subnets == wanted.pod_subnets) return {};
    return {"pod subnets differ"};
  }

  std::vector<std::string> apply(const nat::Ruleset& wanted,
                                 const std::set<net::Family>& /*certain*/) override {
    auto found = differences(wanted);
    if (found.empty()) return found;
    if (kernel_.refuses && !kernel_.half_done) throw Error(*kernel_.refuses);
    rules_ = wanted;
    ++kernel_.commits;
    if (kernel_.refuses) {
      const auto error = *kernel_.refuses;
      kernel_.refuses.reset();
      throw Error(error);
    }
    return found;
  }

  std::vector<netfilter::CountedRule> rules() override { return {}; }
  void check_available() override {}

 private:
  MemoryKernel& kernel_;
  nat::Ruleset& rules_;
};

}  // namespace

std::unique_ptr<netfilter::NatBackend> MemoryKernel::open(netfilter::Backend backend,
                                                          std::chrono::nanoseconds /*lock_timeout*/) {
  return std::make_unique<MemoryBackend>(*this, rulesets[backend]);
}

}  // namespace ipmasq::test
