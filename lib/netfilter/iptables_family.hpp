// What iptables and ip6tables do alike under different names, so that the rest is written once.
// Layouts: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h.
#pragma once

#include <libiptc/libiptc.h>
extern "C" {  // libip6tc.h does not say so itself
#include <libiptc/libip6tc.h>
}
#include <linux/netfilter/nf_nat.h>
#include <netinet/in.h>

#include <cstdint>
#include <string_view>

#include "net/address.hpp"

namespace ipmasq::netfilter {

inline constexpr const char* nat_table = "nat";

/// A target that an extension of the kernel carries out, in one revision of its layout.
struct TargetKind {
  std::string_view name;
  std::uint8_t revision;
  std::string_view module;
};

struct Ipv4Tables {
  static constexpr net::Family family = net::Family::ipv4;
  static constexpr const char* program = "iptables";
  static constexpr const char* modules = "ip_tables and iptable_nat";
  static constexpr const char* listed_in = "/proc/net/ip_tables_names";
  static constexpr int socket_family = AF_INET;
  static constexpr int socket_level = IPPROTO_IP;
  static constexpr int get_info = IPT_SO_GET_INFO;
  static constexpr int get_entries = IPT_SO_GET_ENTRIES;
  static constexpr int get_match_revision = IPT_SO_GET_REVISION_MATCH;
  static constexpr int get_target_revision = IPT_SO_GET_REVISION_TARGET;
  static constexpr std::uint8_t goto_flag = IPT_F_GOTO;
  static constexpr std::uint8_t protocol_flag = 0;  // a protocol that is not 0 is matched
  static constexpr TargetKind snat{"SNAT", 0, "xt_nat"};
  static constexpr TargetKind masquerade{"MASQUERADE", 0, "xt_MASQUERADE"};

  using Entry = ipt_entry;
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Addresses = ipt_ip;
  using NatRange = nf_nat_ipv4_multi_range_compat;

  static Addresses& addresses(Entry& entry) { return entry.ip; }
  static const Addresses& addresses(const Entry& entry) { return entry.ip; }

  static constexpr auto init = iptc_init;
  static constexpr auto free = iptc_free;
  static constexpr auto first_chain = iptc_first_chain;
  static constexpr auto next_chain = iptc_next_chain;
  static constexpr auto is_builtin = iptc_builtin;
  static constexpr auto get_policy = iptc_get_policy;
  static constexpr auto set_policy = iptc_set_policy;
  static constexpr auto first_rule = iptc_first_rule;
  static constexpr auto next_rule = iptc_next_rule;
  static constexpr auto target = iptc_get_target;
  static constexpr auto create_chain = iptc_create_chain;
  static constexpr auto delete_chain = iptc_delete_chain;
  static constexpr auto insert_entry = iptc_insert_entry;
  static constexpr auto delete_entry = iptc_delete_num_entry;
  static constexpr auto commit = iptc_commit;
  static constexpr auto error_text = iptc_strerror;
};

struct Ipv6Tables {
  static constexpr net::Family family = net::Family::ipv6;
  static constexpr const char* program = "ip6tables";
  static constexpr const char* modules = "ip6_tables and ip6table_nat";
  static constexpr const char* listed_in = "/proc/net/ip6_tables_names";
  static constexpr int socket_family = AF_INET6;
  static constexpr int socket_level = IPPROTO_IPV6;
  static constexpr int get_info = IP6T_SO_GET_INFO;
  static constexpr int get_entries = IP6T_SO_GET_ENTRIES;
  static constexpr int get_match_revision = IP6T_SO_GET_REVISION_MATCH;
  static constexpr int get_target_revision = IP6T_SO_GET_REVISION_TARGET;
  static constexpr std::uint8_t goto_flag = IP6T_F_GOTO;
  static constexpr std::uint8_t protocol_flag = IP6T_F_PROTO;
  static constexpr TargetKind snat{"SNAT", 1, "xt_nat"};
  static constexpr TargetKind masquerade{"MASQUERADE", 0, "xt_MASQUERADE"};

  using Entry = ip6t_entry;
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Addresses = ip6t_ip6;
  using NatRange = nf_nat_range;

  static Addresses& addresses(Entry& entry) { return entry.ipv6; }
  static const Addresses& addresses(const Entry& entry) { return entry.ipv6; }

  static constexpr auto init = ip6tc_init;
  static constexpr auto free = ip6tc_free;
  static constexpr auto first_chain = ip6tc_first_chain;
  static constexpr auto next_chain = ip6tc_next_chain;
  static constexpr auto is_builtin = ip6tc_builtin;
  static constexpr auto get_policy = ip6tc_get_policy;
  static constexpr auto set_policy = ip6tc_set_policy;
  static constexpr auto first_rule = ip6tc_first_rule;
  static constexpr auto next_rule = ip6tc_next_rule;
  static constexpr auto target = ip6tc_get_target;
  static constexpr auto create_chain = ip6tc_create_chain;
  static constexpr auto delete_chain = ip6tc_delete_chain;
  static constexpr auto insert_entry = ip6tc_insert_entry;
  static constexpr auto delete_entry = ip6tc_delete_num_entry;
  static constexpr auto commit = ip6tc_commit;
  static constexpr auto error_text = ip6tc_strerror;
};

}  // namespace ipmasq::netfilter
