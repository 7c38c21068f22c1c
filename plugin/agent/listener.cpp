#include "plugin/agent/listener.hpp"

#include <cstddef>
#include <map>

#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

using namespace std::chrono_literals;

constexpr auto retry = 5s;

http::Page page_of(const Health& health) {
  return {.status = health.is_well ? 200 : 503, .body = health.text};
}

}  // namespace

Listener::Listener(const std::optional<ListenAddress>& address, const ReportBoard& board,
                   const Chores& chores, const state::Store& store, Log& log)
    : address_(address), board_(board), chores_(chores), store_(store), log_(log) {}

void Listener::try_to_listen() {
  const auto due = next_try();
  if (!due || Clock::now() < *due) return;
  const auto& [address, port] = *address_;
  try {
    server_.emplace(address, port, pages());
    if (was_refused_) log_.say("listens at " + net::to_text(address) + " port " + std::to_string(port));
  } catch (const Error& error) {
    if (!was_refused_)
      log_.say(std::string(error.what()) + "; tried again each " + std::to_string(retry.count()) +
               " s, and the rules are looked after all the same");
    was_refused_ = true;
    next_try_ = Clock::now() + retry;
  }
}

std::optional<Listener::Clock::time_point> Listener::next_try() const {
  return address_ && !server_ ? std::optional(next_try_) : std::nullopt;
}

// As of the last pass; what is cheap to ask is asked now.
AgentReport Listener::report_of_now() const {
  auto report = board_.get();
  report.chore = chores_.under_way();
  try {
    std::map<std::string, std::size_t> attachments;
    for (const auto& network : store_.networks()) {
      auto& count = attachments[network];
      store_.has_pod(network, [&count](const auto&) {
        ++count;
        return false;
      });
    }
    report.attachments = std::move(attachments);
  } catch (const Error& error) {
    report.troubles.insert(error.what());
  }
  return report;
}

http::Pages Listener::pages() const {
  return {{"/healthz", [this] { return page_of(health(report_of_now(), Clock::now())); }},
          {"/livez", [this] { return page_of(liveness(board_.get(), Clock::now())); }},
          {"/metrics", [this] {
             return http::Page{.type = "text/plain; version=0.0.4; charset=utf-8",
                               .body = metrics(report_of_now(), IP_MASQ_VERSION)};
           }}};
}

}  // namespace ipmasq::plugin
