// An entry is one block of bytes: the addresses, then the matches and the target, each behind a header of its
// own (linux/netfilter/x_tables.h).
#include "netfilter/iptables_entry.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "netfilter/iptables_addresses.hpp"
#include "netfilter/iptables_bytes.hpp"
#include "netfilter/iptables_matches.hpp"
#include "netfilter/iptables_nat_range.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::SourceNat;
using nat::iptables::Rule;

// The header of a match and that of a target are alike.
using Header = xt_entry_match;
static_assert(sizeof(Header) == sizeof(xt_entry_target) &&
              offsetof(xt_entry_match, u.user.name) == offsetof(xt_entry_target, u.user.name) &&
              offsetof(xt_entry_match, u.user.revision) == offsetof(xt_entry_target, u.user.revision));

// ---- to the kernel

// What XT_ALIGN does, which is GNU's C in some versions of the kernel's headers.
std::size_t aligned(std::size_t size) {
  constexpr auto unit = alignof(_xt_align);
  return (size + unit - 1) / unit * unit;
}

// Returns the offset of the `size` zeroed bytes that follow the header.
std::size_t append_extension(std::vector<std::byte>& entry, std::string_view name, std::uint8_t revision,
                             std::size_t size) {
  const auto start = entry.size();
  Header header{};
  header.u.user.match_size = static_cast<std::uint16_t>(aligned(sizeof header + size));
  header.u.user.revision = revision;
  store_name(header.u.user.name, name);
  entry.resize(start + header.u.user.match_size);
  store(entry, start, header);
  return start + sizeof header;
}

template <typename Tables>
class TargetWriter {
 public:
  explicit TargetWriter(std::vector<std::byte>& entry) : entry_(entry) {}

  void operator()(const nat::iptables::Accept& /*target*/) { standard(IPTC_LABEL_ACCEPT); }
  void operator()(const nat::iptables::Return& /*target*/) { standard(IPTC_LABEL_RETURN); }
  void operator()(const nat::iptables::Jump& target) { standard(target.chain.text()); }
  void operator()(const nat::iptables::Goto& target) { standard(target.chain.text()); }
  void operator()(const nat::iptables::OtherTarget& target) { standard(target.name.text()); }
  void operator()(const SourceNat& target) {
    using Range = typename Tables::NatRange;
    const auto& kind = target.to ? Tables::snat : Tables::masquerade;
    const auto info = append_extension(entry_, kind.name, kind.revision, sizeof(Range));
    store(entry_, info, to_kernel<Range>(target));
  }

 private:
  void standard(std::string_view name) { append_extension(entry_, name, 0, sizeof(int)); }

  std::vector<std::byte>& entry_;
};

// ---- from the kernel

void add_other(Rule& rule, const std::string& text) {
  const auto& before = rule.other_matches.text();
  rule.other_matches = before + (before.empty() ? "" : " ") + text;
}

// iptables compares as many bytes as the mask has: a whole name with its end, or what a name begins with.
void put_out_interface(const std::string& name, auto& ip) {
  store_name(ip.outiface, name);
  std::memset(ip.outiface_mask, 0xff, name.size() + 1);
}

void read_out_interface(const auto& ip, Rule& rule) {
  const std::string name(name_in(ip.outiface));
  if (name.empty()) return;
  std::remove_cvref_t<decltype(ip)> exact{};
  put_out_interface(name, exact);
  if (std::memcmp(exact.outiface_mask, ip.outiface_mask, sizeof exact.outiface_mask) == 0) {
    rule.out_interface = name;
  } else {
    add_other(rule, "-o " + name + "+");
  }
}

template <typename Tables>
void read_addresses(const typename Tables::Entry& entry, Rule& rule) {
  const auto& ip = Tables::addresses(entry);
  bool whole = true;
  rule.source = get_prefix(Tables::family, ip.src, ip.smsk, whole);
  rule.destination = get_prefix(Tables::family, ip.dst, ip.dmsk, whole);
  if (!whole) add_other(rule, "(mask with holes)");
  for (const auto protocol : nat::protocols_with_ports) {
    if (ip.proto == static_cast<std::uint16_t>(protocol)) rule.protocol = protocol;
  }
  if (ip.proto != 0 && !rule.protocol) add_other(rule, "-p " + std::to_string(ip.proto));
  if (!name_in(ip.iniface).empty()) add_other(rule, "-i " + std::string(name_in(ip.iniface)));
  read_out_interface(ip, rule);
  if (ip.invflags != 0) add_other(rule, "(inverted)");
  if ((ip.flags & ~(Tables::goto_flag | Tables::protocol_flag)) != 0) add_other(rule, "(flags)");
}

// A second match of a kind is none that ip-masq writes.
bool read_match(std::string_view name, std::uint8_t revision, const std::byte* info, Rule& rule) {
  for (const auto& kind : match_kinds()) {
    if (kind.name == name && kind.revision == revision) return !kind.is_in(rule) && kind.read(info, rule);
  }
  return false;
}

template <typename Tables>
void read_matches(const typename Tables::Entry& entry, Rule& rule) {
  const auto* const start = reinterpret_cast<const std::byte*>(&entry);  // NOLINT: the kernel's layout
  for (std::size_t offset = sizeof entry; offset + sizeof(Header) <= entry.target_offset;) {
    const auto header = load<Header>(start + offset);
    const auto name = name_in(header.u.user.name);
    if (!read_match(name, header.u.user.revision, start + offset + sizeof header, rule))
      add_other(rule, "-m " + std::string(name));
    offset += std::max<std::size_t>(header.u.user.match_size, sizeof header);
  }
}

template <typename Tables>
nat::iptables::Target read_extension_target(const Header& header, const std::byte* info,
                                            const std::string& name) {
  for (const auto& kind : {Tables::snat, Tables::masquerade}) {
    if (kind.name != name) continue;
    const bool is_snat = kind.name == Tables::snat.name;
    if (kind.revision == header.u.user.revision) {
      const auto target = from_kernel(load<typename Tables::NatRange>(info), is_snat);
      if (target) return *target;
    }
    return nat::iptables::OtherTarget{name + " (in another form)"};
  }
  return nat::iptables::OtherTarget{name};
}

template <typename Tables>
nat::iptables::Target read_target(const typename Tables::Entry& entry, const std::string& name) {
  const auto* const start = reinterpret_cast<const std::byte*>(&entry);  // NOLINT: the kernel's layout
  const auto header = load<Header>(start + entry.target_offset);
  const bool is_extension = !name_in(header.u.user.name).empty();
  if (is_extension) {
    return read_extension_target<Tables>(header, start + entry.target_offset + sizeof header, name);
  }
  if (name == IPTC_LABEL_ACCEPT) return nat::iptables::Accept{};
  if (name == IPTC_LABEL_RETURN) return nat::iptables::Return{};
  if (name.empty() || name == IPTC_LABEL_DROP || name == IPTC_LABEL_QUEUE)
    return nat::iptables::OtherTarget{name};
  if ((Tables::addresses(entry).flags & Tables::goto_flag) != 0) return nat::iptables::Goto{name};
  return nat::iptables::Jump{name};
}

}  // namespace

template <typename Tables>
std::vector<std::byte> encode(const Rule& rule) {
  using Entry = typename Tables::Entry;
  std::vector<std::byte> bytes(sizeof(Entry));
  Entry entry{};
  auto& ip = Tables::addresses(entry);
  put_prefix(rule.source, ip.src, ip.smsk);
  put_prefix(rule.destination, ip.dst, ip.dmsk);
  if (rule.out_interface) put_out_interface(*rule.out_interface, ip);
  if (rule.protocol) {
    ip.proto = static_cast<std::uint16_t>(*rule.protocol);
    ip.flags |= Tables::protocol_flag;
  }
  if (std::holds_alternative<nat::iptables::Goto>(rule.target)) ip.flags |= Tables::goto_flag;

  for (const auto& kind : match_kinds()) {
    if (!kind.is_in(rule)) continue;
    const auto info = append_extension(bytes, kind.name, kind.revision, kind.size);
    kind.write(rule, bytes.data() + info);
  }
  entry.target_offset = static_cast<std::uint16_t>(bytes.size());
  std::visit(TargetWriter<Tables>(bytes), rule.target);
  entry.next_offset = static_cast<std::uint16_t>(bytes.size());
  store(bytes, 0, entry);
  return bytes;
}

template <typename Tables>
nat::iptables::ObservedRule decode(const typename Tables::Entry& entry, const std::string& target) {
  nat::iptables::ObservedRule observed{{}, entry.counters.pcnt, entry.counters.bcnt};
  read_addresses<Tables>(entry, observed.rule);
  read_matches<Tables>(entry, observed.rule);
  observed.rule.target = read_target<Tables>(entry, target);
  return observed;
}

template std::vector<std::byte> encode<Ipv4Tables>(const Rule& rule);
template std::vector<std::byte> encode<Ipv6Tables>(const Rule& rule);
template nat::iptables::ObservedRule decode<Ipv4Tables>(const ipt_entry& entry, const std::string& target);
template nat::iptables::ObservedRule decode<Ipv6Tables>(const ip6t_entry& entry, const std::string& target);

}  // namespace ipmasq::netfilter
