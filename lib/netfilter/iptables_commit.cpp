#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "error/error.hpp"
#include "nat/iptables_difference.hpp"
#include "netfilter/iptables_entry.hpp"
#include "netfilter/iptables_error.hpp"
#include "netfilter/iptables_table.hpp"

namespace ipmasq::netfilter {

namespace {

template <typename Tables>
struct FreeHandle {
  void operator()(xtc_handle* handle) const { Tables::free(handle); }
};

template <typename Tables>
using Handle = std::unique_ptr<xtc_handle, FreeHandle<Tables>>;

// xt_chainlabel is an array of 32 bytes that libiptc may read to its end.
class Label {
 public:
  explicit Label(std::string_view name) {
    name.substr(0, label_.size() - 1).copy(label_.data(), label_.size() - 1);
  }
  const char* text() const { return label_.data(); }

 private:
  std::array<char, sizeof(xt_chainlabel)> label_{};
};

template <typename Tables>
Handle<Tables> open_table() {
  Handle<Tables> handle(Tables::init(nat_table));
  if (!handle && errno == EEXIST) handle.reset(Tables::init(nat_table));  // see TableSocket::info
  if (!handle) throw_table_error<Tables>(errno);
  return handle;
}

template <typename Tables>
std::size_t rules_of(const char* chain, xtc_handle* handle) {
  std::size_t rules = 0;
  for (const auto* rule = Tables::first_rule(chain, handle); rule != nullptr;
       rule = Tables::next_rule(rule, handle))
    ++rules;
  return rules;
}

template <typename Tables>
nat::iptables::ObservedTable observe(xtc_handle* handle) {
  Observer<Tables> observer;
  for (const auto* chain = Tables::first_chain(handle); chain != nullptr;
       chain = Tables::next_chain(handle)) {
    observer.enter(chain, nat::iptables::is_our_chain(chain) ? rules_of<Tables>(chain, handle) : 0);
    for (const auto* rule = Tables::first_rule(chain, handle); rule != nullptr;
         rule = Tables::next_rule(rule, handle)) {
      observer.see(chain, *rule, Tables::target(rule, handle));
    }
  }
  return std::move(observer.table());
}

// Whether libiptc took the edit; errno says why not.
template <typename Tables>
bool carry_out(const nat::iptables::Edit& edit, xtc_handle* handle) {
  const Label chain(edit.chain);
  const auto index = static_cast<unsigned>(edit.index);
  switch (edit.kind) {
    case nat::iptables::EditKind::create_chain:
      return Tables::create_chain(chain.text(), handle) != 0;
    case nat::iptables::EditKind::delete_chain:
      return Tables::delete_chain(chain.text(), handle) != 0;
    case nat::iptables::EditKind::delete_rule:
      return Tables::delete_entry(chain.text(), index, handle) != 0;
    case nat::iptables::EditKind::insert_rule: {
      const auto entry = encode<Tables>(*edit.rule);
      const auto* const bytes = reinterpret_cast<const typename Tables::Entry*>(entry.data());  // NOLINT
      return Tables::insert_entry(chain.text(), bytes, index, handle) != 0;
    }
  }
  return false;
}

// libiptc carries the counters of rules over, but would start those of policies anew.
template <typename Tables>
void keep_policy_counters(xtc_handle* handle) {
  for (const auto* chain = Tables::first_chain(handle); chain != nullptr;
       chain = Tables::next_chain(handle)) {
    if (Tables::is_builtin(chain, handle) == 0) continue;
    xt_counters counters{};
    const auto* const policy = Tables::get_policy(chain, &counters, handle);
    if (policy != nullptr) Tables::set_policy(Label(chain).text(), Label(policy).text(), &counters, handle);
  }
}

// Whether libiptc took all edits. At its commit it holds the table twice: what it took is held no longer.
template <typename Tables>
bool carry_out(std::vector<nat::iptables::Edit>&& edits, xtc_handle* handle) {
  const auto held = std::move(edits);
  return std::ranges::all_of(held, [handle](const auto& edit) { return carry_out<Tables>(edit, handle); });
}

// Whether the kernel has taken the edits; errno says why not.
template <typename Tables>
bool commit(std::vector<nat::iptables::Edit> edits, xtc_handle* handle) {
  if (!carry_out<Tables>(std::move(edits), handle)) return false;
  keep_policy_counters<Tables>(handle);
  return Tables::commit(handle) != 0;
}

}  // namespace

template <typename Tables>
std::optional<TableChange> change_nat_table(const StateFor& state_for) {
  constexpr int most_tries = 200;
  constexpr int most_refusals = 20;
  int refusals = 0;
  std::optional<TableChange> tried;
  int number = 0;  // why the last one failed, and what libiptc says of it
  std::string reason;
  // EINVAL may also mean that the table changed before the counters of its rules were in.
  const auto is_outrun = [&] { return number == EAGAIN || (number == EINVAL && ++refusals < most_refusals); };
  for (int tries = 0; tries < most_tries; ++tries) {
    const auto handle = open_table<Tables>();
    TableChange change{observe<Tables>(handle.get()), {}};
    change.after = state_for(change.before);
    auto edits = nat::iptables::difference(change.before, change.after);
    // What failed may have been to set the counters, after the rules were in: a look tells.
    if (edits.empty()) return tried;
    if (tried && !is_outrun()) throw_change_error<Tables>(number, reason, tried->after.chains);
    if (commit<Tables>(std::move(edits), handle.get())) return change;
    number = errno;
    reason = Tables::error_text(number);
    tried = std::move(change);
  }
  throw Error(Kind::busy, std::string("the nat table of ") + Tables::program + " changed under each of " +
                              std::to_string(most_tries) +
                              " commits: something changes it without the xtables lock");
}

template std::optional<TableChange> change_nat_table<Ipv4Tables>(const StateFor&);
template std::optional<TableChange> change_nat_table<Ipv6Tables>(const StateFor&);

}  // namespace ipmasq::netfilter
