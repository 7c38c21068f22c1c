// What is asked of a node to find out why its pods are hidden. Of each thing that could not be looked at
// `not_looked` tells why: what is empty beside that is not known to be empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cni/json.hpp"
#include "conflist/conflist.hpp"
#include "nat/explain.hpp"
#include "nat/foreign_rule.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::doctor {

/// A pod's interface, as recorded.
struct Attachment {
  std::string text;        ///< for a person: "default/web 10.244.1.7/24"
  std::string cache_name;  ///< of its file in the runtime's cache
};

/// A network of ours, as recorded.
struct Network {
  std::string name;
  std::string backend;
  std::vector<net::Prefix> pod_subnets;
  std::vector<net::Prefix> cluster_networks = {};  ///< flannel's, of the configuration in force
  std::vector<Attachment> attachments = {};
};

/// A policy that pods may ask for.
struct AskedForPolicy {
  std::string network;
  std::string name;
  std::vector<std::string> annotated;
};

/// What ip-masq knows of itself; of each list a line a thing, none where all is well.
struct Ours {
  std::vector<Network> networks;
  nat::Ruleset wanted = {};
  std::vector<std::string> differences = {};           ///< of our rules from what is wanted
  std::vector<std::string> not_dropped = {};           ///< invalid packets of networks, and why not
  std::vector<std::string> on_their_way = {};          ///< networks between two back ends
  std::vector<std::string> wrong_files = {};           ///< and so not in force
  std::vector<std::string> wrong_from_the_start = {};  ///< files of which nothing good is known
  std::vector<std::string> misspelt = {};              ///< keys
  std::vector<std::string> damaged_records = {};
  std::vector<std::string> written_later = {};  ///< records of a later version's format
  std::vector<std::string> unrecorded = {};     ///< rules that no record needs
  std::vector<std::string> unrecorded_deciding =
      {};                                          ///< those that decide over recorded pods of other networks
  std::vector<std::string> left_behind = {};       ///< rules of ours on a node where nothing needs any
  std::vector<std::string> unavailable = {};       ///< why the kernel's NAT cannot be used
  std::vector<std::string> unusable_state = {};    ///< why nothing can be recorded
  std::vector<std::string> of_two_networks = {};   ///< addresses that pods of two are recorded with
  std::vector<std::string> bypassing = {};         ///< pods whose packets do not pass this node
  std::vector<std::string> refused_policies = {};  ///< that pods ask for and may not have, and why
  std::vector<AskedForPolicy> asked_for_policies = {};
  std::set<std::string> containers = {};      ///< IDs of all attachments
  std::vector<std::string> not_adopted = {};  ///< pods of our networks that live and are not recorded
  std::vector<std::string> not_told = {};     ///< why it cannot be told of some pods
};

/// Where plugins are to be looked for: in the folders that are named, beside which the runtime may search
/// others; or else where the runtime searches, in its order; or else, where neither is known, in the folders
/// that runtimes are built with.
struct PluginFolders {
  std::vector<std::filesystem::path> named = {};
  std::vector<std::filesystem::path> searched = {};
};

/// Who says that a folder of lists is the one that pods' runtime reads.
enum class SaidBy {
  nobody,
  its_user,
  one_runtime,  ///< of containerd's, for its own pods alone
  runtime,
};

/// The folder of lists that is looked at.
struct ListsFolder {
  std::filesystem::path path;
  SaidBy said_by = SaidBy::nobody;
};

/// A folder that runtimes look for plugins in.
struct BinFolder {
  std::filesystem::path path;
  std::map<std::string, std::string> programs = {};  ///< of each why it cannot be run; empty where it may
  std::map<std::string, std::string> no_files = {};  ///< what has a name and is none: "a folder"
  /// Where those lead that lead to nothing here. Of a folder that is named they are among the programs: who
  /// names it may see no more of the runtime's files.
  std::map<std::string, std::string> dead_links = {};
  bool can_be_written = true;  ///< or made, where it is not there
  bool has_anothers = false;   ///< what stands there under our program's name
};

/// How runtimes take the lists of the folder, as their files say.
struct Taking {
  bool is_podmans = false;           ///< podman alone reads it, and takes each list by its name
  std::string network = {};          ///< the name of the list that pods get; empty: the first
  std::string network_said_by = {};  ///< "cni_default_network in /etc/crio/crio.conf"
  bool is_crios = false;             ///< it passes over lists whose programs it does not find, or cannot run
  conflist::Taken lists = {};
};

/// The folder of lists for the pods of one runtime of containerd's, which RuntimeClasses lead to.
struct OwnLists {
  std::string runtime;  ///< "kata"
  std::filesystem::path conf_dir;
  std::string said_by;
  bool are_read = false;  ///< else the folder could not be read, and is told
  std::vector<conflist::Network> lists = {};
  std::set<std::string> backups = {};  ///< as of Surroundings
  conflist::Taken taken = {};
};

/// What connection tracking has room for, and what it could not take.
struct Tracking {
  std::uint64_t connections = 0;
  std::uint64_t most_connections = 0;  ///< 0: without limit
  std::uint64_t not_inserted = 0;      ///< since the start: no source port was free, among others
};

/// Masqueraded connections of one protocol from one address to one address and port.
struct UsedPorts {
  std::string connections;  ///< "tcp from 198.18.0.1 to 203.0.113.9 port 443"
  std::string network;      ///< of ours, whose pods they are of
  std::uint64_t used = 0;
  std::uint64_t all = 0;
};

/// A pod, and the interface that its packets come by.
struct PodAt {
  net::Address address;
  std::string interface;  ///< empty: not known

  bool operator==(const PodAt&) const = default;
};

/// What this node leads nowhere of what pods send, or of the answers to it.
struct NoWay {
  std::vector<net::Prefix> pods;
  std::optional<net::Prefix> to = {};  ///< none: wherever no route of its own leads
  std::string by = {};                 ///< the rule of policy routing or the route; empty: there is no route
  std::string fix = {};                ///< a command; empty where only its owner can
  bool is_missed = false;              ///< for certain: the node itself gets there, or a list keeps pods'
                                       ///< addresses there; else it may be meant
  bool are_answers = false;            ///< to these pods
  std::string uplink = {};             ///< that answers come by; empty: any
  bool is_certain = true;              ///< else some packets alone

  bool operator==(const NoWay&) const = default;
};

/// Pods to which no packet gets from this node, nor from them, whatever routes and rules say.
struct CutOff {
  std::vector<net::Address> pods = {};  ///< the addresses of one
  std::string why = {};                 ///< "its interface veth1 is down"
  std::vector<std::string> fix = {};    ///< commands

  bool operator==(const CutOff&) const = default;
};

/// What IPsec's policies do to what pods send, or to the answers to it.
struct UnderIpsec {
  enum class Does { drops, drops_for_now, may_drop, transforms };

  std::vector<net::Prefix> pods;
  net::Prefix other;             ///< whom pods send to, or who answers
  bool are_answers = false;      ///< to these pods
  bool are_masqueraded = false;  ///< these packets have this node's address there
  Does does = Does::drops;       ///< of drops_for_now: until a key daemon has agreed on a state
  std::string by = {};           ///< the policy, and what it lacks
  std::string fix = {};          ///< a command

  bool operator==(const UnderIpsec&) const = default;
};

/// A way of some pods' packets through this node, and of the answers back.
struct PodWay {
  std::vector<net::Prefix> pods;                  ///< of one family, at least one
  std::optional<std::string> pod_interface = {};  ///< that they come by; none: not known, or one of many
  std::set<std::string> pod_devices = {};     ///< what they may come by: interfaces, and what these stand on
  std::optional<std::string> uplink = {};     ///< that they leave by; none: not known
  std::set<std::string> uplink_devices = {};  ///< it, and what it stands on
  std::optional<net::Address> destination = {};  ///< none: any
  std::optional<nat::Fate> fate = {};            ///< of what they send, by our rules; none: any
  std::vector<PodAt> attached = {};              ///< of them, those that are recorded
  std::vector<net::Prefix> leads_to = {};        ///< networks behind routers; all, of length 0: the world

  bool operator==(const PodWay&) const = default;
};

/// Of a range of snatTo: who has more addresses than these was not asked about each.
inline constexpr std::size_t most_asked_of_a_range = 1024;

/// A rule, or a chain's policy, that drops packets of pods, or the answers to them.
struct ForwardDrop {
  std::string decides;      ///< "nft inet theirs base handle 7: -p 17 -j DROP", and which protocol alone
  bool is_certain = false;  ///< else it drops some, or may: ports, rates and what else cannot be told decide
  std::string fix;          ///< commands, joined by &&

  bool operator==(const ForwardDrop&) const = default;
};

/// The node beside ip-masq.
struct Surroundings {
  nat::Foreign foreign;
  std::set<net::Address> addresses;                       ///< of the node's interfaces
  std::map<net::Address, std::string> interface_of = {};  ///< where they are
  std::set<std::string> interfaces = {};                  ///< all that are there
  std::set<net::Address> routed_here = {};  ///< of snatTo: no interface has it, and a route says it is here
  std::set<std::pair<std::string, net::Prefix>> networks = {};  ///< of these: interface, network
  std::map<net::Family, std::string> way_out = {};  ///< the interface that the default route leads out by
  std::set<std::string> pod_devices = {};  ///< by which pods' packets come; empty where it is not known
  std::vector<PodWay> ways = {};
  std::vector<NoWay> no_ways = {};
  std::vector<CutOff> cut_off = {};
  std::vector<ForwardDrop> drops = {};
  std::vector<UnderIpsec> under_ipsec = {};
  std::filesystem::path subnet_file;
  std::optional<bool> flannel_masquerades;  ///< FLANNEL_IPMASQ of subnet_file
  std::filesystem::path conf_dir = {};
  SaidBy conf_dir_said_by = SaidBy::nobody;
  bool are_lists_read = false;                ///< else the folder could not be read, and is told
  std::vector<conflist::Network> lists = {};  ///< of conf_dir, in the runtime's order
  std::set<std::string> backups = {};         ///< those of which install left FILE.before-ip-masq there
  std::set<std::string> put_aside = {};       ///< those that others have renamed, to put them out of force
  Taking taking = {};
  std::vector<OwnLists> own_lists = {};
  std::vector<OwnLists> revisions = {};     ///< of a snap: those that do not run; of no runtime by name
  std::vector<BinFolder> bin_folders = {};  ///< those that are there; of is_search_known all
  bool is_search_known = false;             ///< bin_folders are where the runtime searches, in its order
  bool may_search_more = false;             ///< these were named; there may be others
  std::vector<std::string> elsewhere =
      {};  ///< what was named to be looked at, and is not where the runtime looks, a line each
  std::optional<cni::Json> docker_config;  ///< daemon.json
  std::set<std::string> processes;  ///< names of what runs in this network namespace, as the kernel cuts
                                    ///< them (15 bytes)
  bool has_cache = false;           ///< libcni's is there
  std::vector<std::string> cached_results;  ///< file names in libcni's cache: NETWORK-CONTAINER-INTERFACE
  bool forwards_ipv4 = true;
  bool forwards_ipv6 = true;
  std::set<std::string> not_forwarding =
      {};  ///< interfaces that take nothing of IPv4 that is to be forwarded
  std::vector<std::string> strict_interfaces;  ///< whose rp_filter is 1
  std::uint64_t dropped_by_reverse_path = 0;   ///< packets since the start
  std::vector<net::Prefix> ospf_routes;        ///< networks that the kernel knows by OSPF
  std::optional<Tracking> tracking = {};       ///< none where nothing is tracked
  std::vector<UsedPorts> scarce_ports = {};    ///< where few are left, or none
};

struct Facts {
  Ours ours;
  Surroundings node;
  std::vector<std::string> not_looked = {};  ///< what could not be looked at, and why, a line each
};

}  // namespace ipmasq::doctor
