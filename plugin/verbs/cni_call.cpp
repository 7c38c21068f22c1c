#include "plugin/verbs/cni_call.hpp"

#include <cstdlib>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "cni/environment.hpp"
#include "cni/json.hpp"
#include "cni/request.hpp"
#include "cni/result.hpp"
#include "cni/version.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/verbs/error_codes.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

std::optional<std::string> environment_variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

void print_versions(const std::string& asked_version) {
  const auto version = asked_version.empty() ? std::string(cni::newest_version) : asked_version;
  std::cout << cni::to_text({{"cniVersion", version}, {"supportedVersions", cni::supported_versions}})
            << std::endl;
}

void serve(const cni::Request& request) {
  netfilter::RealKernel kernel;
  switch (request.environment.command) {
    case cni::Command::add:
      return add(request, kernel, std::cout, std::cerr);
    case cni::Command::del:
      return del(request, kernel);
    case cni::Command::check:
      return check(request, kernel, std::cerr);
    case cni::Command::gc:
      return gc(request, kernel);
    case cni::Command::status:
      return status(request, kernel, std::cerr);
    case cni::Command::version:
      return print_versions(request.cni_version);
  }
}

int report(const std::string& version, const Error& error) {
  std::cout << cni::error_json(version, cni_code(error.kind()), error.what(), error.details()) << std::endl;
  std::cerr << "ip-masq: " << nat::printable(error.what()) << std::endl;
  return EXIT_FAILURE;
}

}  // namespace

int serve_cni_call() {
  std::string version(cni::newest_version);
  try {
    auto environment = cni::read_environment(environment_variable);
    auto netconf = cni::read_netconf(std::cin);
    version = cni::answer_version(netconf);
    serve(cni::make_request(std::move(environment), std::move(netconf)));
    return EXIT_SUCCESS;
  } catch (const Error& error) {
    return report(version, error);
  } catch (const std::bad_alloc&) {
    return report(version, Error(Kind::failed, "out of memory", "the node has none for ip-masq: try again"));
  } catch (const std::exception& error) {
    return report(version, Error(Kind::failed, std::string("unexpected: ") + error.what()));
  }
}

}  // namespace ipmasq::plugin
