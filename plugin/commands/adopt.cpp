#include "plugin/commands/adopt.hpp"

#include <ostream>
#include <string>

#include "cni/cache.hpp"
#include "cni/json.hpp"
#include "config/defaults.hpp"
#include "error/error.hpp"
#include "plugin/agent/adopt_pass.hpp"
#include "plugin/commands/json_output.hpp"

namespace ipmasq::plugin {

namespace {

AdoptPass run(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir, DryRun dry_run) {
  const state::Store store(state_dir);
  if (dry_run == DryRun::yes) return look_for_unadopted(store, conf_dir);
  // What another adoption records is taken back where its rules cannot be set: it comes to its end first.
  if (store.exists()) static_cast<void>(store.lock_shared(config::default_lock_timeout));
  netfilter::RealKernel kernel;
  return adopt_pass(store, kernel, conf_dir, config::default_lock_timeout);
}

void print(const AdoptPass& pass, const std::string& done, std::ostream& output) {
  for (const auto& network : pass.networks) {
    for (const auto& line : texts_of(network)) output << done << line << '\n';
  }
  for (const auto& change : pass.changes) output << change << '\n';
}

template <typename Items>
cni::Json texts(const Items& items) {
  auto list = cni::Json::array();
  for (const auto& item : items) list.push_back(net::to_text(item));
  return list;
}

cni::Json to_json(const UnadoptedNetwork& network) {
  auto attachments = cni::Json::array();
  for (const auto& attachment : network.attachments) {
    attachments.push_back({{"containerID", attachment.id.container_id},
                           {"ifname", attachment.id.interface},
                           {"pod", attachment.pod},
                           {"addresses", texts(attachment.addresses)},
                           {"podSubnets", texts(attachment.pod_subnets)}});
  }
  return {{"name", network.name}, {"adopted", attachments}, {"withoutPods", texts(network.without_pods)}};
}

cni::Json to_json(const AdoptPass& pass) {
  auto networks = cni::Json::array();
  for (const auto& network : pass.networks) networks.push_back(to_json(network));
  return {{"networks", networks}, {"changes", pass.changes}};
}

std::string what_is_left(const AdoptPass& pass) {
  std::string left;
  for (const auto* const lines : {&pass.problems, &pass.warnings, &pass.not_seen, &pass.unread_lists,
                                  &pass.passed_over, &pass.elsewhere}) {
    for (const auto& line : *lines) left += (left.empty() ? "" : "; ") + line;
  }
  return left;
}

void throw_what_is_left(const AdoptPass& pass) {
  const auto left = what_is_left(pass);
  if (!left.empty()) throw Error(Kind::failed, "pods may be left that are not adopted: " + left);
}

std::string nothing_to_do(const AdoptPass& pass) {
  if (pass.is_told && !pass.is_all_seen)
    return "every pod that is seen to live is recorded; the network namespace of others that the runtime "
           "tells "
           "of is no namespace: they are coming, or have ended\n";
  if (pass.is_told) return "every pod that lives is recorded\n";
  return "nobody tells which pods live: no runtime keeps a cache in " + cni::cache_folders_text() +
         "; each is recorded with its next ADD\n";
}

void print_of_install(AdoptPass pass, const std::string& done, std::ostream& output) {
  pass.elsewhere.clear();    // their own ADDs adopt there
  pass.passed_over.clear();  // install has told of them
  print(pass, done, output);
  throw_what_is_left(pass);
}

}  // namespace

void adopt(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir, DryRun dry_run,
           OutputFormat format, std::ostream& output) {
  const auto pass = run(state_dir, conf_dir, dry_run);
  const bool is_dry = dry_run == DryRun::yes;
  if (format == OutputFormat::json) {
    print_json(to_json(pass), output);
  } else {
    print(pass, is_dry ? "would adopt " : "adopted ", output);
    if (pass.networks.empty() && what_is_left(pass).empty()) output << nothing_to_do(pass);
  }
  throw_what_is_left(pass);
}

void tell_what_install_would_adopt(const std::filesystem::path& state_dir,
                                   const std::filesystem::path& conf_dir,
                                   const std::vector<conflist::Network>& lists, std::ostream& output) {
  print_of_install(look_for_unadopted(state::Store(state_dir), conf_dir, lists), "would adopt ", output);
}

void adopt_after_install(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir,
                         std::ostream& output) {
  print_of_install(run(state_dir, conf_dir, DryRun::no), "adopted ", output);
}

}  // namespace ipmasq::plugin
