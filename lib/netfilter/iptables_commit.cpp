#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "error/error.hpp"
#include "netfilter/iptables_entry.hpp"
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
  if (!handle) {
    throw Error(Kind::absent, std::string("the nat table of ") + Tables::program +
                                  " cannot be opened: " + Tables::error_text(errno));
  }
  return handle;
}

template <typename Tables>
nat::iptables::ObservedTable observe(xtc_handle* handle) {
  Observer<Tables> observer;
  for (const auto* chain = Tables::first_chain(handle); chain != nullptr;
       chain = Tables::next_chain(handle)) {
    observer.enter(chain);
    std::size_t index = 0;
    for (const auto* rule = Tables::first_rule(chain, handle); rule != nullptr;
         rule = Tables::next_rule(rule, handle)) {
      observer.see(chain, index++, *rule, Tables::target(rule, handle));
    }
  }
  return std::move(observer.table());
}

template <typename Tables>
class EditCarrier {
 public:
  explicit EditCarrier(xtc_handle* handle) : handle_(handle) {}

  int operator()(const nat::iptables::CreateChain& edit) const {
    return Tables::create_chain(Label(edit.chain).text(), handle_);
  }
  int operator()(const nat::iptables::DeleteChain& edit) const {
    return Tables::delete_chain(Label(edit.chain).text(), handle_);
  }
  int operator()(const nat::iptables::InsertRule& edit) const {
    const auto entry = encode<Tables>(edit.rule);
    const auto* const kernel_entry = reinterpret_cast<const typename Tables::Entry*>(entry.data());  // NOLINT
    return Tables::insert_entry(Label(edit.chain).text(), kernel_entry, static_cast<unsigned>(edit.index),
                                handle_);
  }
  int operator()(const nat::iptables::DeleteRule& edit) const {
    return Tables::delete_entry(Label(edit.chain).text(), static_cast<unsigned>(edit.index), handle_);
  }

 private:
  xtc_handle* handle_;
};

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

template <typename Tables>
[[noreturn]] void throw_refused() {
  const int number = errno;
  throw Error(Kind::refused, std::string("the kernel refused our rules in the nat table of ") +
                                 Tables::program + ": " + Tables::error_text(number));
}

}  // namespace

template <typename Tables>
std::vector<nat::iptables::Edit> change_nat_table(const EditsFor& edits_for) {
  constexpr int most_tries = 50;
  constexpr int most_refusals = 5;
  int refusals = 0;
  std::vector<nat::iptables::Edit> tried;
  for (int tries = 0; tries < most_tries; ++tries) {
    const auto handle = open_table<Tables>();
    auto edits = edits_for(observe<Tables>(handle.get()));
    if (edits.empty()) return tried;
    for (const auto& edit : edits) {
      if (std::visit(EditCarrier<Tables>(handle.get()), edit) == 0) throw_refused<Tables>();
    }
    keep_policy_counters<Tables>(handle.get());
    if (Tables::commit(handle.get()) != 0) return edits;
    // EINVAL may also mean that the rules are in, and that the table changed before their counters were: a
    // look tells.
    if (errno != EAGAIN && (errno != EINVAL || ++refusals == most_refusals)) throw_refused<Tables>();
    tried = std::move(edits);
  }
  throw Error(Kind::busy, std::string("the nat table of ") + Tables::program + " changed under each of " +
                              std::to_string(most_tries) +
                              " commits: something changes it without the xtables lock");
}

template std::vector<nat::iptables::Edit> change_nat_table<Ipv4Tables>(const EditsFor& edits_for);
template std::vector<nat::iptables::Edit> change_nat_table<Ipv6Tables>(const EditsFor& edits_for);

}  // namespace ipmasq::netfilter
