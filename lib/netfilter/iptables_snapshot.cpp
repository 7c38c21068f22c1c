// Raw reads. The kernel hands a table over as one block: the chains one after the other, each an entry after
// the other; a user-defined chain begins with an ERROR target that holds its name and ends with a RETURN of
// its own; jumps hold the offset of the chain's first rule (net/ipv4/netfilter/ip_tables.c,
// linux/netfilter_ipv4/ip_tables.h).
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>

#include "netfilter/iptables_entry.hpp"
#include "netfilter/iptables_size.hpp"
#include "netfilter/iptables_socket.hpp"
#include "netfilter/iptables_table.hpp"
#include "os/file.hpp"

namespace ipmasq::netfilter {

namespace {

constexpr std::array<std::string_view, NF_INET_NUMHOOKS> hook_names{"PREROUTING", "INPUT", "FORWARD",
                                                                    "OUTPUT", "POSTROUTING"};

// Whether the table still had the size that `info` says.
template <typename Tables>
bool read_entries(const TableSocket<Tables>& socket, const typename Tables::Info& info, std::byte* into) {
  auto* const entries = new (into) typename Tables::Entries;
  std::strcpy(entries->name, socket.table());  // NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits
  entries->size = info.size;
  const int number = socket.ask(Tables::get_entries, entries, sizeof *entries + info.size);
  if (number != 0 && number != EAGAIN) throw_table_error<Tables>(number, socket.table());
  return number == 0;
}

// All entries of a table, with what the kernel says of its built-in chains.
template <typename Tables>
struct Snapshot {
  using Entry = typename Tables::Entry;

  typename Tables::Info info{};
  std::unique_ptr<std::byte[]> block;  // NOLINT(modernize-avoid-c-arrays): not to be zeroed, it can be large

  const Entry& entry_at(unsigned offset) const {
    return *reinterpret_cast<const Entry*>(block.get() + sizeof(typename Tables::Entries) +
                                           offset);  // NOLINT
  }
  const std::byte* target_at(unsigned offset) const {
    return reinterpret_cast<const std::byte*>(&entry_at(offset)) + entry_at(offset).target_offset;  // NOLINT
  }
  // Empty for jumps and verdicts.
  std::string_view target_name(unsigned offset) const {
    const auto* const target = reinterpret_cast<const xt_entry_target*>(target_at(offset));  // NOLINT
    return {target->u.user.name, strnlen(target->u.user.name, sizeof target->u.user.name)};
  }
  int verdict(unsigned offset) const {
    return reinterpret_cast<const xt_standard_target*>(target_at(offset))->verdict;  // NOLINT
  }
  std::string_view error_name(unsigned offset) const {
    const auto* const target = reinterpret_cast<const xt_error_target*>(target_at(offset));  // NOLINT
    return {target->errorname, strnlen(target->errorname, sizeof target->errorname)};
  }
  bool is_chain_head(unsigned offset) const { return target_name(offset) == XT_ERROR_TARGET; }
  unsigned after(unsigned offset) const { return offset + entry_at(offset).next_offset; }
};

template <typename Tables>
Snapshot<Tables> take_snapshot(const char* table) {
  constexpr int most_tries = 50;
  const TableSocket<Tables> socket(table);
  for (int tries = 0; tries < most_tries; ++tries) {
    Snapshot<Tables> snapshot;
    snapshot.info = socket.info();
    snapshot.block.reset(new std::byte[sizeof(typename Tables::Entries) + snapshot.info.size]);
    if (read_entries<Tables>(socket, snapshot.info, snapshot.block.get())) return snapshot;
  }
  throw_table_error<Tables>(EAGAIN, table);
}

// Which chains a walk knows by name; jumps into others lead to "(another chain)".
using KnownChains = bool (*)(std::string_view name);

template <typename Tables>
class SnapshotWalk {
 public:
  SnapshotWalk(const Snapshot<Tables>& snapshot, KnownChains is_known) : snapshot_(snapshot) {
    for (unsigned offset = 0; offset < snapshot_.info.size; offset = snapshot_.after(offset)) {
      if (!snapshot_.is_chain_head(offset)) continue;
      const auto name = snapshot_.error_name(offset);
      if (is_known(name)) chains_.emplace(static_cast<int>(snapshot_.after(offset)), name);
    }
  }

  // Calls enter(chain, offset) where each chain begins, and see(chain, index, offset) for each rule.
  template <typename Enter, typename See>
  void walk(Enter enter, See see) const {
    std::string_view chain;
    std::size_t index = 0;
    for (unsigned offset = 0; offset < snapshot_.info.size; offset = snapshot_.after(offset)) {
      if (snapshot_.is_chain_head(offset)) {
        chain = snapshot_.error_name(offset);
        index = 0;
        enter(chain, offset);
        continue;
      }
      if (const auto hook = hook_at(offset); !hook.empty()) {
        chain = hook;
        index = 0;
        enter(chain, offset);
      }
      if (!ends_chain(offset)) see(chain, index, offset);
      ++index;
    }
  }

  // Of a user-defined chain, by the offset of its head.
  std::size_t rules_of(unsigned head) const {
    std::size_t rules = 0;
    for (auto offset = snapshot_.after(head); !ends_chain(offset); offset = snapshot_.after(offset)) ++rules;
    return rules;
  }

  bool leads_into_known(unsigned offset) const {
    return snapshot_.target_name(offset).empty() && chains_.contains(snapshot_.verdict(offset));
  }

  // By their policies.
  std::set<std::string> dropping_chains() const {
    std::set<std::string> chains;
    for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; ++hook) {
      const bool is_used = (snapshot_.info.valid_hooks & (1U << hook)) != 0;
      if (is_used && target_of(snapshot_.info.underflow[hook]) == IPTC_LABEL_DROP)
        chains.emplace(hook_names.at(hook));
    }
    return chains;
  }

  // The name that libiptc would give.
  std::string target_of(unsigned offset) const {
    const auto name = snapshot_.target_name(offset);
    if (!name.empty()) return std::string(name);
    const int verdict = snapshot_.verdict(offset);
    constexpr int accept = -NF_ACCEPT - 1;
    constexpr int drop = -NF_DROP - 1;
    if (verdict == accept) return IPTC_LABEL_ACCEPT;
    if (verdict == drop) return IPTC_LABEL_DROP;
    if (verdict == XT_RETURN) return IPTC_LABEL_RETURN;
    if (verdict < 0) return IPTC_LABEL_QUEUE;
    const auto found = chains_.find(verdict);
    if (found != chains_.end()) return std::string(found->second);
    return verdict == static_cast<int>(snapshot_.after(offset)) ? "" : "(another chain)";
  }

 private:
  std::string_view hook_at(unsigned offset) const {
    for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; ++hook) {
      const bool is_used = (snapshot_.info.valid_hooks & (1U << hook)) != 0;
      if (is_used && snapshot_.info.hook_entry[hook] == offset) return hook_names.at(hook);
    }
    return {};
  }

  // Its policy, or the RETURN that the kernel puts there.
  bool ends_chain(unsigned offset) const {
    for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; ++hook) {
      const bool is_used = (snapshot_.info.valid_hooks & (1U << hook)) != 0;
      if (is_used && snapshot_.info.underflow[hook] == offset) return true;
    }
    const auto next = snapshot_.after(offset);
    return next >= snapshot_.info.size || snapshot_.is_chain_head(next);
  }

  const Snapshot<Tables>& snapshot_;
  std::map<int, std::string_view> chains_;  // by the offset of the first rule, as jumps give it
};

}  // namespace

template <typename Tables>
void Observer<Tables>::enter(std::string_view chain, std::size_t rules) {
  entered_ = nullptr;
  if (!nat::iptables::is_our_chain(chain)) return;
  entered_ = &table_.chains[std::string(chain)];
  entered_->reserve(rules);
}

template <typename Tables>
void Observer<Tables>::see(std::string_view chain, const typename Tables::Entry& entry,
                           const std::string& target) {
  if (entered_ != nullptr) {
    entered_->push_back(decode<Tables>(entry, target));
    return;
  }
  const bool is_hook_chain = chain == nat::iptables::hook_chain;
  if (nat::iptables::is_our_chain(target)) {
    const auto observed = decode<Tables>(entry, target);
    if (is_hook_chain && observed.rule == nat::iptables::hook_rule()) {
      table_.hooks.push_back({table_.hook_chain_size, observed.packets, observed.bytes});
    } else {
      table_.entered_by_others.insert(target);
    }
  }
  if (is_hook_chain) ++table_.hook_chain_size;
}

template <typename Tables>
bool has_table(const char* table) {
  const auto names = os::read_file(Tables::listed_in);
  if (!names) return false;
  const auto lines = "\n" + *names;
  return lines.find(std::string("\n") + table + "\n") != std::string::npos;
}

template <typename Tables>
bool has_nat_table() {
  if (os::is_there("/proc/net")) return has_table<Tables>(nat_table);
  try {
    static_cast<void>(TableSocket<Tables>().info());
    return true;
  } catch (const Error& none) {
    if (none.kind() != Kind::absent) throw;
    return false;
  }
}

std::string nat_table_sizes() {
  std::string text;
  const auto append = [&text]<typename Tables>(Tables /*family*/) {
    if (!has_nat_table<Tables>()) return;
    const auto info = TableSocket<Tables>().info();
    text += std::to_string(info.size) + " " + std::to_string(info.num_entries) + " ";
  };
  append(Ipv4Tables{});
  append(Ipv6Tables{});
  return text;
}

template <typename Tables>
nat::iptables::ObservedTable read_nat_table() {
  const auto snapshot = take_snapshot<Tables>(nat_table);
  const SnapshotWalk<Tables> walk(snapshot, nat::iptables::is_our_chain);
  Observer<Tables> observer;
  bool is_seen = false;  // every rule of the chain
  walk.walk(
      [&](std::string_view chain, unsigned head) {
        const bool is_ours = nat::iptables::is_our_chain(chain);
        is_seen = is_ours || chain == nat::iptables::hook_chain;
        observer.enter(chain, is_ours ? walk.rules_of(head) : 0);
      },
      [&](std::string_view chain, std::size_t, unsigned offset) {
        if (is_seen || walk.leads_into_known(offset))
          observer.see(chain, snapshot.entry_at(offset), walk.target_of(offset));
      });
  return std::move(observer.table());
}

template <typename Tables>
std::set<std::string> visit_table(const char* table, const EntryVisitor<Tables>& visit) {
  const auto snapshot = take_snapshot<Tables>(table);
  const SnapshotWalk<Tables> walk(snapshot, [](std::string_view) { return true; });
  walk.walk([](std::string_view, unsigned) {},
            [&](std::string_view chain, std::size_t index, unsigned offset) {
              visit(chain, index, snapshot.entry_at(offset), walk.target_of(offset));
            });
  return walk.dropping_chains();
}

template class Observer<Ipv4Tables>;
template class Observer<Ipv6Tables>;
template bool has_table<Ipv4Tables>(const char*);
template bool has_table<Ipv6Tables>(const char*);
template bool has_nat_table<Ipv4Tables>();
template bool has_nat_table<Ipv6Tables>();
template nat::iptables::ObservedTable read_nat_table<Ipv4Tables>();
template nat::iptables::ObservedTable read_nat_table<Ipv6Tables>();
template std::set<std::string> visit_table<Ipv4Tables>(const char*, const EntryVisitor<Ipv4Tables>&);
template std::set<std::string> visit_table<Ipv6Tables>(const char*, const EntryVisitor<Ipv6Tables>&);

}  // namespace ipmasq::netfilter
