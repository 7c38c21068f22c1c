#include "netfilter/iptables_entry.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_statistic.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

namespace ipmasq::netfilter {

namespace {

using nat::iptables::Rule;
using nat::iptables::SourceNat;

constexpr std::uint8_t mark_revision = 1;
constexpr std::uint8_t addrtype_revision = 1;
constexpr std::uint8_t conntrack_revision = 3;

// ---- bytes

template <typename Value>
Value load(const std::byte* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Value>
void store(std::vector<std::byte>& into, std::size_t offset, const Value& value) {
  std::memcpy(into.data() + offset, &value, sizeof value);
}

template <std::size_t size>
void store_name(std::array<char, size>& into, std::string_view name) {
  std::ranges::copy(name.substr(0, size - 1), into.begin());
}

template <std::size_t size>
std::string_view name_in(const char (&name)[size]) {  // NOLINT(modernize-avoid-c-arrays): the kernel's field
  return {name, strnlen(name, size)};
}

// ---- addresses

template <typename KernelAddress>
void put_prefix(const std::optional<net::Prefix>& prefix, KernelAddress& address, KernelAddress& mask) {
  if (!prefix) return;
  net::Address ones{prefix->family(), {}};
  ones.bytes.fill(0xff);
  std::memcpy(&address, prefix->address.bytes.data(), sizeof address);
  std::memcpy(&mask, net::network_of(ones, prefix->length).address.bytes.data(), sizeof mask);
}

// Of a mask with holes, which ip-masq never writes, `whole` becomes false.
template <typename KernelAddress>
std::optional<net::Prefix> get_prefix(net::Family family, const KernelAddress& address,
                                      const KernelAddress& mask, bool& whole) {
  net::Prefix prefix{{family, {}}, 0};
  net::Prefix ones{{family, {}}, 0};
  std::memcpy(prefix.address.bytes.data(), &address, sizeof address);
  std::memcpy(ones.address.bytes.data(), &mask, sizeof mask);
  prefix.length = net::length_of(ones.address.bytes);

  std::optional<net::Prefix> expected = prefix;
  KernelAddress ignored{};
  KernelAddress expected_mask{};
  put_prefix(expected, ignored, expected_mask);
  whole = whole && std::memcmp(&mask, &expected_mask, sizeof mask) == 0;
  return prefix.length == 0 ? std::nullopt : expected;
}

// ---- the range of a SNAT or MASQUERADE target

struct NatRange {
  unsigned flags = 0;
  net::Address to;
  net::Address to_last;
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
};

nf_nat_ipv4_multi_range_compat to_kernel(const NatRange& range, nf_nat_ipv4_multi_range_compat kernel) {
  kernel.rangesize = 1;
  auto& only = kernel.range[0];
  only.flags = range.flags;
  std::memcpy(&only.min_ip, range.to.bytes.data(), sizeof only.min_ip);
  std::memcpy(&only.max_ip, range.to_last.bytes.data(), sizeof only.max_ip);
  only.min.all = htons(range.first_port);
  only.max.all = htons(range.last_port);
  return kernel;
}

nf_nat_range to_kernel(const NatRange& range, nf_nat_range kernel) {
  kernel.flags = range.flags;
  std::memcpy(&kernel.min_addr, range.to.bytes.data(), sizeof kernel.min_addr);
  std::memcpy(&kernel.max_addr, range.to_last.bytes.data(), sizeof kernel.max_addr);
  kernel.min_proto.all = htons(range.first_port);
  kernel.max_proto.all = htons(range.last_port);
  return kernel;
}

NatRange from_kernel(const nf_nat_ipv4_multi_range_compat& kernel) {
  const auto& only = kernel.range[0];
  NatRange range{
      only.flags, {net::Family::ipv4, {}}, {net::Family::ipv4, {}}, ntohs(only.min.all), ntohs(only.max.all)};
  std::memcpy(range.to.bytes.data(), &only.min_ip, sizeof only.min_ip);
  std::memcpy(range.to_last.bytes.data(), &only.max_ip, sizeof only.max_ip);
  return range;
}

NatRange from_kernel(const nf_nat_range& kernel) {
  NatRange range{kernel.flags,
                 {net::Family::ipv6, {}},
                 {net::Family::ipv6, {}},
                 ntohs(kernel.min_proto.all),
                 ntohs(kernel.max_proto.all)};
  std::memcpy(range.to.bytes.data(), &kernel.min_addr, sizeof kernel.min_addr);
  std::memcpy(range.to_last.bytes.data(), &kernel.max_addr, sizeof kernel.max_addr);
  return range;
}

NatRange nat_range(const SourceNat& target, net::Family family) {
  NatRange range;
  range.to.family = range.to_last.family = family;
  if (target.to) {
    range.flags |= NF_NAT_RANGE_MAP_IPS;
    range.to = range.to_last = *target.to;
  }
  if (target.ports) {
    range.flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
    range.first_port = target.ports->first;
    range.last_port = target.ports->last;
  }
  if (target.random_fully) range.flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
  return range;
}

// nullopt for a range that ip-masq never writes.
std::optional<SourceNat> source_nat(const NatRange& range, bool is_snat) {
  constexpr unsigned ours =
      NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED | NF_NAT_RANGE_PROTO_RANDOM_FULLY;
  const bool has_address = (range.flags & NF_NAT_RANGE_MAP_IPS) != 0;
  if ((range.flags & ~ours) != 0 || has_address != is_snat || range.to != range.to_last) return std::nullopt;
  SourceNat target;
  if (has_address) target.to = range.to;
  if ((range.flags & NF_NAT_RANGE_PROTO_SPECIFIED) != 0) target.ports = {range.first_port, range.last_port};
  target.random_fully = (range.flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
  return target;
}

// ---- encoding

// xt_entry_match and xt_entry_target begin alike: size (16 bits), name (29 bytes), revision (8 bits).
struct ExtensionHeader {
  std::uint16_t size = 0;
  std::array<char, XT_EXTENSION_MAXNAMELEN> name{};
  std::uint8_t revision = 0;
};
static_assert(sizeof(ExtensionHeader) == sizeof(xt_entry_match) &&
              sizeof(ExtensionHeader) == sizeof(xt_entry_target));

template <typename Info>
void append_extension(std::vector<std::byte>& entry, std::string_view name, std::uint8_t revision,
                      const Info& info) {
  const auto start = entry.size();
  ExtensionHeader header{.size = XT_ALIGN(sizeof(ExtensionHeader) + sizeof info), .revision = revision};
  store_name(header.name, name);
  entry.resize(start + header.size);
  store(entry, start, header);
  store(entry, start + sizeof header, info);
}

void append_matches(const Rule& rule, std::vector<std::byte>& entry) {
  if (rule.mark)
    append_extension(entry, "mark", mark_revision, xt_mark_mtinfo1{rule.mark->value, rule.mark->mask, 0});
  if (rule.to_local) {
    append_extension(entry, "addrtype", addrtype_revision, xt_addrtype_info_v1{0, XT_ADDRTYPE_LOCAL, 0});
  }
  if (rule.redirected) {
    xt_conntrack_mtinfo3 info{};
    info.match_flags = XT_CONNTRACK_STATE;
    info.state_mask = XT_CONNTRACK_STATE_DNAT;
    append_extension(entry, "conntrack", conntrack_revision, info);
  }
  if (rule.probability) {
    xt_statistic_info info{};
    info.mode = XT_STATISTIC_MODE_RANDOM;
    info.u.random.probability = *rule.probability;
    append_extension(entry, "statistic", 0, info);
  }
  if (!rule.comment.empty()) {
    xt_comment_info info{};
    rule.comment.copy(info.comment, sizeof info.comment - 1);
    append_extension(entry, "comment", 0, info);
  }
}

template <typename Tables>
class TargetEncoder {
 public:
  explicit TargetEncoder(std::vector<std::byte>& entry) : entry_(entry) {}

  void operator()(const nat::iptables::Accept& /*target*/) { standard(IPTC_LABEL_ACCEPT); }
  void operator()(const nat::iptables::Return& /*target*/) { standard(IPTC_LABEL_RETURN); }
  void operator()(const nat::iptables::Jump& target) { standard(target.chain); }
  void operator()(const nat::iptables::Goto& target) { standard(target.chain); }
  void operator()(const SourceNat& target) {
    append_extension(entry_, target.to ? "SNAT" : "MASQUERADE", target.to ? Tables::snat_revision : 0,
                     to_kernel(nat_range(target, Tables::family), typename Tables::NatRange{}));
  }
  void operator()(const nat::iptables::OtherTarget& target) { standard(target.name); }

 private:
  void standard(std::string_view name) { append_extension(entry_, name, 0, int{}); }

  std::vector<std::byte>& entry_;
};

// ---- decoding

struct Extension {
  std::string_view name;
  std::uint8_t revision;
  const std::byte* info;
};

void add_other(Rule& rule, const std::string& text) {
  rule.other_matches += (rule.other_matches.empty() ? "" : " ") + text;
}

bool decode_conntrack(const xt_conntrack_mtinfo3& info, Rule& rule) {
  rule.redirected = info.match_flags == XT_CONNTRACK_STATE && info.state_mask == XT_CONNTRACK_STATE_DNAT &&
                    info.invert_flags == 0;
  return rule.redirected;
}

// Whether the match is one that ip-masq writes; a second one of its kind is not.
bool decode_known_match(const Extension& match, Rule& rule) {
  if (match.name == "mark" && match.revision == mark_revision && !rule.mark) {
    const auto info = load<xt_mark_mtinfo1>(match.info);
    rule.mark = config::Mark{info.mark, info.mask};
    return info.invert == 0;
  }
  if (match.name == "addrtype" && match.revision == addrtype_revision && !rule.to_local) {
    const auto info = load<xt_addrtype_info_v1>(match.info);
    rule.to_local = info.source == 0 && info.dest == XT_ADDRTYPE_LOCAL && info.flags == 0;
    return rule.to_local;
  }
  if (match.name == "conntrack" && match.revision == conntrack_revision && !rule.redirected) {
    return decode_conntrack(load<xt_conntrack_mtinfo3>(match.info), rule);
  }
  if (match.name == "statistic" && match.revision == 0 && !rule.probability) {
    const auto info = load<xt_statistic_info>(match.info);
    rule.probability = info.u.random.probability;
    return info.mode == XT_STATISTIC_MODE_RANDOM && info.flags == 0;
  }
  if (match.name == "comment" && match.revision == 0 && rule.comment.empty()) {
    const auto info = load<xt_comment_info>(match.info);
    rule.comment = name_in(info.comment);
    return true;
  }
  return false;
}

template <typename Tables>
void decode_addresses(const typename Tables::Entry& entry, Rule& rule) {
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
  if (!name_in(ip.outiface).empty()) add_other(rule, "-o " + std::string(name_in(ip.outiface)));
  if (ip.invflags != 0) add_other(rule, "(inverted)");
  if ((ip.flags & ~(Tables::goto_flag | Tables::protocol_flag)) != 0) add_other(rule, "(flags)");
}

template <typename Tables>
nat::iptables::Target decode_target(const typename Tables::Entry& entry, const Extension& extension,
                                    const std::string& name) {
  const bool is_snat = extension.name == "SNAT" && extension.revision == Tables::snat_revision;
  if (is_snat || (extension.name == "MASQUERADE" && extension.revision == 0)) {
    const auto target = source_nat(from_kernel(load<typename Tables::NatRange>(extension.info)), is_snat);
    if (target) return *target;
  }
  if (!extension.name.empty()) return nat::iptables::OtherTarget{name};
  if (name == IPTC_LABEL_ACCEPT) return nat::iptables::Accept{};
  if (name == IPTC_LABEL_RETURN) return nat::iptables::Return{};
  if (name.empty() || name == IPTC_LABEL_DROP || name == IPTC_LABEL_QUEUE)
    return nat::iptables::OtherTarget{name};
  if ((Tables::addresses(entry).flags & Tables::goto_flag) != 0) return nat::iptables::Goto{name};
  return nat::iptables::Jump{name};
}

Extension extension_at(const std::byte* where) {
  const auto* const match = reinterpret_cast<const xt_entry_match*>(where);  // NOLINT: the kernel's layout
  return {name_in(match->u.user.name), match->u.user.revision, where + sizeof(xt_entry_match)};
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
  if (rule.protocol) {
    ip.proto = static_cast<std::uint16_t>(*rule.protocol);
    ip.flags |= Tables::protocol_flag;
  }
  if (std::holds_alternative<nat::iptables::Goto>(rule.target)) ip.flags |= Tables::goto_flag;

  append_matches(rule, bytes);
  entry.target_offset = static_cast<std::uint16_t>(bytes.size());
  std::visit(TargetEncoder<Tables>(bytes), rule.target);
  entry.next_offset = static_cast<std::uint16_t>(bytes.size());
  store(bytes, 0, entry);
  return bytes;
}

template <typename Tables>
nat::iptables::ObservedRule decode(const typename Tables::Entry& entry, const std::string& target) {
  nat::iptables::ObservedRule observed{{}, entry.counters.pcnt, entry.counters.bcnt};
  auto& rule = observed.rule;
  decode_addresses<Tables>(entry, rule);

  const auto* const start = reinterpret_cast<const std::byte*>(&entry);  // NOLINT: the kernel's layout
  for (std::size_t offset = sizeof entry; offset + sizeof(xt_entry_match) <= entry.target_offset;) {
    const auto match = extension_at(start + offset);
    if (!decode_known_match(match, rule)) add_other(rule, "-m " + std::string(match.name));
    offset += std::max<std::size_t>(load<std::uint16_t>(start + offset), sizeof(xt_entry_match));
  }
  rule.target = decode_target<Tables>(entry, extension_at(start + entry.target_offset), target);
  return observed;
}

template std::vector<std::byte> encode<Ipv4Tables>(const Rule& rule);
template std::vector<std::byte> encode<Ipv6Tables>(const Rule& rule);
template nat::iptables::ObservedRule decode<Ipv4Tables>(const ipt_entry& entry, const std::string& target);
template nat::iptables::ObservedRule decode<Ipv6Tables>(const ip6t_entry& entry, const std::string& target);

}  // namespace ipmasq::netfilter
