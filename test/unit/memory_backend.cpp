#include "memory_backend.hpp"

#include <algorithm>
#include <new>

namespace ipmasq::test {

namespace {

MemoryTable target(const MemoryTable& standing, const nat::Ruleset& wanted) {
  MemoryTable table;
  const auto sources = nat::sources_after({standing.sources.begin(), standing.sources.end()}, wanted);
  table.sources.insert(sources.begin(), sources.end());
  for (const auto& source : table.sources) {
    if (!wanted.networks.contains(source.network))
      table.chains[source.owner()] = standing.chains.at(source.owner());
  }
  for (const auto& chain : wanted.chains) {
    const auto leads_there = [&chain](const nat::Source& source) {
      return source.owner() == chain.owner() && source.prefix.family() == chain.family;
    };
    if (std::ranges::any_of(table.sources, leads_there)) table.chains[chain.owner()].push_back(chain);
  }
  return table;
}

class MemoryBackend : public netfilter::NatBackend {
 public:
  MemoryBackend(MemoryKernel& kernel, netfilter::Backend backend)
      : kernel_(kernel), backend_(backend), table_(kernel.tables[backend]) {}

  bool may_hold_rules() override { return table_ != MemoryTable{}; }

  netfilter::Look look(const nat::Ruleset& wanted) override {
    ++kernel_.reads;
    netfilter::Look found;
    if (target(table_, wanted) != table_) found.differences = {"it differs"};
    for (const auto& pod : wanted.pods) found.met[pod] = met_by(pod);
    return found;
  }

  netfilter::Change apply(const nat::Ruleset& wanted) override {
    ++kernel_.reads;
    const auto before = table_;
    const auto after = target(before, wanted);
    if (after == before) return {};
    if (const auto error = kernel_.refuses.find(backend_); error != kernel_.refuses.end())
      throw Error(error->second);
    if (kernel_.throws_bad_alloc) throw std::bad_alloc();
    ++kernel_.commits;
    table_ = after;
    return {{"changed"}, [this_kernel = &kernel_, backend = backend_, before] {
              const auto error = this_kernel->cannot_undo.find(backend);
              if (error != this_kernel->cannot_undo.end()) throw Error(error->second);
              this_kernel->tables[backend] = before;
            }};
  }

  std::vector<netfilter::CountedRule> rules() override { return {}; }
  std::vector<nat::Source> sources() override {
    std::vector<nat::Source> sources(table_.sources.begin(), table_.sources.end());
    std::ranges::sort(sources,
                      [](const auto& left, const auto& right) { return nat::comes_first(left, right); });
    return sources;
  }
  std::vector<nat::Source> met_by(const net::Address& pod) override {
    auto met = sources();
    std::erase_if(met, [&pod](const auto& each) { return !each.prefix.contains(pod); });
    return met;
  }
  std::optional<nat::Standing> standing(const net::Address& /*source*/,
                                        const net::Address& /*destination*/) override {
    return std::nullopt;
  }
  void check(const nat::Ruleset& /*wanted*/) override {
    if (const auto error = kernel_.refuses.find(backend_); error != kernel_.refuses.end())
      throw Error(error->second);
  }

 private:
  MemoryKernel& kernel_;
  netfilter::Backend backend_;
  MemoryTable& table_;
};

}  // namespace

std::unique_ptr<netfilter::NatBackend> MemoryKernel::open(netfilter::Backend backend,
                                                          std::chrono::nanoseconds /*lock_timeout*/) {
  return std::make_unique<MemoryBackend>(*this, backend);
}

netfilter::Backend MemoryKernel::preferred(const nat::Ruleset& /*wanted*/, netfilter::Tables /*tables*/) {
  if (cannot_prefer) throw Error(*cannot_prefer);
  return prefers;
}

}  // namespace ipmasq::test
