#include "netfilter/iptables_nat_range.hpp"

#include <cstring>

namespace ipmasq::netfilter {

namespace {

// The two structures hold the same: IPv4's has it in the first of a list of one.
struct Ipv4Fields {
  static constexpr net::Family family = net::Family::ipv4;
  static auto& flags(auto& range) { return range.range[0].flags; }
  static auto& first(auto& range) { return range.range[0].min_ip; }
  static auto& last(auto& range) { return range.range[0].max_ip; }
  static auto& first_port(auto& range) { return range.range[0].min.all; }
  static auto& last_port(auto& range) { return range.range[0].max.all; }
};

struct Ipv6Fields {
  static constexpr net::Family family = net::Family::ipv6;
  static auto& flags(auto& range) { return range.flags; }
  static auto& first(auto& range) { return range.min_addr; }
  static auto& last(auto& range) { return range.max_addr; }
  static auto& first_port(auto& range) { return range.min_proto.all; }
  static auto& last_port(auto& range) { return range.max_proto.all; }
};

template <typename Fields, typename Range>
void write(const nat::SourceNat& target, Range& range) {
  if (target.to) {
    Fields::flags(range) |= NF_NAT_RANGE_MAP_IPS;
    std::memcpy(&Fields::first(range), target.to->first.bytes.data(), sizeof Fields::first(range));
    std::memcpy(&Fields::last(range), target.to->last.bytes.data(), sizeof Fields::last(range));
  }
  if (target.ports) {
    Fields::flags(range) |= NF_NAT_RANGE_PROTO_SPECIFIED;
    Fields::first_port(range) = htons(target.ports->first);
    Fields::last_port(range) = htons(target.ports->last);
  }
  if (target.random_fully) Fields::flags(range) |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
}

template <typename Fields, typename Range>
std::optional<nat::SourceNat> read(const Range& range, bool is_snat) {
  constexpr unsigned ours =
      NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED | NF_NAT_RANGE_PROTO_RANDOM_FULLY;
  const auto flags = Fields::flags(range);
  const bool has_address = (flags & NF_NAT_RANGE_MAP_IPS) != 0;
  const auto& first = Fields::first(range);
  const auto& last = Fields::last(range);
  if ((flags & ~ours) != 0 || has_address != is_snat) return std::nullopt;
  nat::SourceNat target;
  if (has_address) {
    target.to.emplace(net::Range{{Fields::family, {}}, {Fields::family, {}}});
    std::memcpy(target.to->first.bytes.data(), &first, sizeof first);
    std::memcpy(target.to->last.bytes.data(), &last, sizeof last);
  }
  if ((flags & NF_NAT_RANGE_PROTO_SPECIFIED) != 0)
    target.ports = {ntohs(Fields::first_port(range)), ntohs(Fields::last_port(range))};
  target.random_fully = (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
  return target;
}

}  // namespace

template <>
nf_nat_ipv4_multi_range_compat to_kernel(const nat::SourceNat& target) {
  nf_nat_ipv4_multi_range_compat range{};
  range.rangesize = 1;
  write<Ipv4Fields>(target, range);
  return range;
}

template <>
nf_nat_range to_kernel(const nat::SourceNat& target) {
  nf_nat_range range{};
  write<Ipv6Fields>(target, range);
  return range;
}

template <>
std::optional<nat::SourceNat> from_kernel(const nf_nat_ipv4_multi_range_compat& range, bool is_snat) {
  return read<Ipv4Fields>(range, is_snat);
}

template <>
std::optional<nat::SourceNat> from_kernel(const nf_nat_range& range, bool is_snat) {
  return read<Ipv6Fields>(range, is_snat);
}

}  // namespace ipmasq::netfilter
