#include "memory_backend.hpp"

namespace ipmasq::test {

namespace {

class MemoryBackend : public netfilter::NatBackend {
 public:
  explicit MemoryBackend(MemoryKernel& kernel) : kernel_(kernel) {}

  std::string name() const override { return "memory"; }

  std::vector<std::string> differences(const nat::Ruleset& wanted) override {
    ++kernel_.reads;
    if (kernel_.rules.pod_subnets == wanted.pod_subnets) return {};
    return {"pod subnets differ"};
  }

  std::vector<std::string> apply(const nat::Ruleset& wanted, const nat::Ruleset& /*before*/) override {
    auto found = differences(wanted);
    if (found.empty()) return found;
    if (kernel_.refuses && !kernel_.half_done) throw cni::Error(*kernel_.refuses);
    kernel_.rules = wanted;
    ++kernel_.commits;
    if (kernel_.refuses) {
      const auto error = *kernel_.refuses;
      kernel_.refuses.reset();
      throw cni::Error(error);
    }
    return found;
  }

  std::vector<netfilter::CountedRule> rules() override { return {}; }
  void check_available() override {}

 private:
  MemoryKernel& kernel_;
};

}  // namespace

netfilter::BackendFactory MemoryKernel::factory() {
  return [this](config::BackendChoice, std::chrono::nanoseconds) {
    return std::make_unique<MemoryBackend>(*this);
  };
}

}  // namespace ipmasq::test
