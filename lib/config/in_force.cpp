#include "config/in_force.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "config/flannel.hpp"
#include "config/known_keys.hpp"
#include "error/error.hpp"

namespace ipmasq::config {

namespace {

std::string joined(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "; ") + problem;
  return text;
}

const AgentFile* pointer_to(const std::optional<AgentFile>& file) {
  return file ? &*file : nullptr;
}

// What is recorded is no longer than what it says.
cni::Json without_doubles(const cni::Json& keys) {
  auto shortened = keys;
  for (auto& value : shortened) {
    if (!value.is_array()) continue;
    auto items = cni::Json::array();
    std::set<cni::Json> seen;
    for (auto& item : value) {
      if (seen.insert(item).second) items.push_back(std::move(item));
    }
    value = std::move(items);
  }
  return shortened;
}

void read_file(Reading& reading) {
  try {
    reading.file = read_agent_file(reading.netconf.config_file);
    if (reading.file && reading.file->says_nothing) {
      reading.says_nothing = told_of_nothing(reading.file->path);
      reading.file.reset();
    }
    if (reading.file) reading.file->keys = without_doubles(reading.file->keys);
    reading.with_file =
        reading.file ? with_file(reading.netconf, reading.keys, *reading.file) : reading.netconf;
  } catch (const Error& error) {
    reading.file.reset();
    reading.problems.emplace_back(error.what());
  }
}

void read_networks(Reading& reading) {
  try {
    reading.cluster_networks = read_cluster_networks(reading.netconf.subnet_file);
  } catch (const Error& error) {
    reading.problems.emplace_back(error.what());
  }
}

// Where something stands in a file is told when it is read; of a long list that is more than the list.
std::optional<AgentFile> kept_of(std::optional<AgentFile> file) {
  if (!file) return std::nullopt;
  return AgentFile{.path = std::move(file->path), .keys = std::move(file->keys)};
}

// The netconf of now under the file that was good last; where the two do not go together, all as it was.
Configuration under_last_good_file(const Reading& reading, const MadeOf& last_good) {
  try {
    return {parse_netconf(reading.keys, pointer_to(last_good.file)), {reading.keys, last_good.file}};
  } catch (const Error&) {
    return {parse_netconf(last_good.netconf, pointer_to(last_good.file)),
            {last_good.netconf, last_good.file}};
  }
}

bool say_the_same(const std::optional<AgentFile>& left, const std::optional<AgentFile>& right) {
  return left.has_value() == right.has_value() &&
         (!left || (left->path == right->path && left->keys == right->keys));
}

// What of the file its writer cannot have meant, where that would take something good out of force.
std::vector<std::string> slips_that_lose(const Reading& reading, const std::optional<MadeOf>& last_good) {
  if (!last_good || !reading.with_file) return {};
  const bool said_something = last_good->file && !last_good->file->keys.empty();
  if (!reading.says_nothing.empty() && said_something) return {reading.says_nothing};
  if (!reading.file || say_the_same(reading.file, last_good->file)) return {};
  return reading.file->slips;
}

// flannel's networks, and of a family that the file has lost the ones of before: a line that is gone would
// have pods masqueraded towards one another.
std::vector<net::Prefix> networks_in_force(const Reading& reading, const MadeOf& last_good,
                                           const HasPods& has_pods, std::vector<std::string>& problems) {
  if (!reading.cluster_networks) return last_good.cluster_networks;
  auto networks = *reading.cluster_networks;
  if (networks.empty()) return networks;  // there is no file
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    const auto is_of_family = [family](const net::Prefix& each) { return each.family() == family; };
    const bool is_lost = std::ranges::none_of(*reading.cluster_networks, is_of_family) &&
                         std::ranges::any_of(last_good.cluster_networks, is_of_family);
    if (!is_lost || !has_pods(family)) continue;
    std::ranges::copy_if(last_good.cluster_networks, std::back_inserter(networks), is_of_family);
    const bool is_ipv4 = family == net::Family::ipv4;
    problems.push_back(reading.netconf.subnet_file.string() + " names no " + (is_ipv4 ? "IPv4" : "IPv6") +
                       " network any more, though pods have such addresses: expected a line such as " +
                       (is_ipv4 ? "FLANNEL_NETWORK=" : "FLANNEL_IPV6_NETWORK=") +
                       net::to_text(networks.back()));
  }
  return networks;
}

}  // namespace

bool MadeOf::operator==(const MadeOf& other) const {
  return say_the_same(file, other.file) && netconf == other.netconf &&
         cluster_networks == other.cluster_networks;
}

Reading read_configuration(const cni::Json& netconf) {
  Reading reading{.keys = without_doubles(known_keys(netconf)), .netconf = parse_netconf(netconf)};
  read_file(reading);
  read_networks(reading);
  return reading;
}

SharedConfiguration in_force(Reading reading, const std::optional<MadeOf>& last_good,
                             const HasPods& has_pods) {
  if (!reading.problems.empty() && !last_good) throw Error(Kind::wrong_config, joined(reading.problems));
  auto slips = slips_that_lose(reading, last_good);
  auto configuration = reading.with_file && slips.empty()
                           ? Configuration{std::move(*reading.with_file),
                                           {std::move(reading.keys), kept_of(std::move(reading.file))}}
                           : under_last_good_file(reading, *last_good);
  configuration.problems = std::move(slips);
  configuration.made_of.cluster_networks =
      last_good ? networks_in_force(reading, *last_good, has_pods, configuration.problems)
                : *reading.cluster_networks;
  configuration.problems.insert(configuration.problems.end(), reading.problems.begin(),
                                reading.problems.end());
  return std::make_shared<const Configuration>(std::move(configuration));
}

std::shared_ptr<const Netconf> netconf_of(const SharedConfiguration& configuration) {
  return {configuration, &configuration->netconf};
}

const std::vector<std::string>& problems_of(const Configuration& configuration) {
  return configuration.problems;
}

std::optional<Backend> backend_of(const Configuration& configuration) {
  return configuration.netconf.backend;
}

const MadeOf& made_of(const Configuration& configuration) {
  return configuration.made_of;
}

ChangedFlows changed_flows_of(const Configuration& configuration) {
  return configuration.netconf.changed_flows;
}

SharedConfiguration in_force(const cni::Json& netconf, const std::optional<MadeOf>& last_good,
                             const HasPods& has_pods) {
  return in_force(read_configuration(netconf), last_good, has_pods);
}

SharedConfiguration as_made(const MadeOf& made_of) {
  return std::make_shared<const Configuration>(
      Configuration{parse_netconf(made_of.netconf, pointer_to(made_of.file)), made_of});
}

}  // namespace ipmasq::config
