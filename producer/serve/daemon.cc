#include "producer/serve/daemon.h"

#include "producer/serve/problem.h"
#include "runtime/lifecycle/health.h"
#include "runtime/lifecycle/listen.h"
#include "runtime/lifecycle/reload_signal.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <array>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::producer::serve {
namespace {

using runtime::http::Request;
using runtime::http::Responder;
using runtime::http::Response;
using std::chrono::milliseconds;
namespace lifecycle = runtime::lifecycle;
namespace log = runtime::log;

constexpr milliseconds kLookInterval{200};
constexpr std::string_view kMetrics = "/metrics";

bool is_about_health(const Request& request) {
  const std::string_view path = request.path();
  return path == "/healthz" || path == "/readyz" || path == kMetrics;
}

core::Timestamp system_now() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return core::Timestamp::from_micros(
      std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

class Daemon {
 public:
  explicit Daemon(DaemonOptions options)
      : options_(std::move(options)),
        keys_(options_.token),
        intake_(intake_options(), keys_, probe_) {}

  core::Result<void> start();
  [[nodiscard]] core::Result<void> run(const lifecycle::StopSignal& stop);

 private:
  IntakeOptions intake_options() {
    IntakeOptions options = options_.intake;
    options.now = system_now;
    return options;
  }
  core::Result<void> read_keys();
  void reload();
  std::optional<Response> admit(Request& head);
  void handle(Request&& request, Responder responder);
  [[nodiscard]] bool may_see_metrics(const Request& request) const;
  void drain();

  lifecycle::ReloadSignal reloads_;
  DaemonOptions options_;
  runtime::metrics::Registry registry_;
  Probe probe_{registry_};
  Keys keys_;
  Intake intake_;
  OpenedSink about_sink_;  // its sink is the intake's
  std::unique_ptr<runtime::http::Server> server_;
};

core::Result<void> Daemon::read_keys() {
  if (options_.keys_file.empty()) return boost::outcome_v2::success();
  auto read = keys_.read_file(options_.keys_file);
  probe_.keys(keys_.size());
  if (read && keys_.size() == 0 && options_.token.empty()) {
    log::warn("the keys file holds no key: with none can events be sent",
              {{"file", options_.keys_file}});
  }
  return read;
}

core::Result<void> Daemon::start() {
  if (auto read = read_keys(); !read) return read.error();
  auto opened = open_sink(options_.sink, intake_.on_outcome(), registry_);
  if (!opened) return opened.error();
  about_sink_ = std::move(opened.value());
  intake_.attach(std::move(about_sink_.sink));
  options_.http.error_answer = [this](int status, std::string_view sentence) {
    Response response = refuse_by_server(status, sentence);
    probe_.answered(response.status);
    return response;
  };
  options_.http.admit = [this](Request& head) { return admit(head); };
  server_ = std::make_unique<runtime::http::Server>(
      options_.http, [this](Request&& request, Responder responder) {
        handle(std::move(request), std::move(responder));
      });
  lifecycle::write_port_file(options_.port_file, server_->port());
  log::info("started", {{"port", static_cast<int>(server_->port())},
                        {"unix_socket", options_.http.unix_socket},
                        {"level", options_.sink.level == Level::kAcked ? "acked" : "spooled"},
                        {"keys", keys_.size()}});
  if (keys_.open_to_all()) log::warn("no key and no token is asked for: who can connect can send");
  return boost::outcome_v2::success();
}

bool Daemon::may_see_metrics(const Request& request) const {
  const SenderPtr sender = intake_.sender_of(request);
  return sender != nullptr && sender->tenant.empty();
}

std::optional<Response> Daemon::admit(Request& head) {
  if (!is_about_health(head)) return intake_.admit(head);
  std::optional<Response> refused = refuse_all_but_reading(head);
  if (!refused && head.path() == kMetrics && !may_see_metrics(head)) {
    refused = refuse(kUnauthorized, "metrics are for the token, or a key bound to no tenant");
  }
  if (refused) probe_.answered(refused->status);
  return refused;
}

void Daemon::handle(Request&& request, Responder responder) {
  if (!is_about_health(request)) return intake_.handle(request, Reply(std::move(responder)));
  if (request.path() == kMetrics) {
    probe_.in_flight(intake_.in_flight().events(), intake_.in_flight().requests());
    about_sink_.refresh_metrics();
  }
  Response response = lifecycle::health_answer(request, registry_, about_sink_.reasons);
  probe_.answered(response.status);
  std::move(responder).send(std::move(response));
}

void Daemon::reload() {
  if (auto read = read_keys(); !read) {
    log::error("the keys stay as they were", {{"problem", read.error().message}});
  } else {
    log::info("keys read anew", {{"keys", keys_.size()}});
  }
  if (options_.http.tls_certificate_file.empty()) return;
  try {
    server_->reload_tls();
    log::info("certificate read anew");
  } catch (const std::exception& failure) {
    log::error("the certificate stays as it was", {{"problem", failure.what()}});
  }
}

// Who is connected is answered; who is not finds nobody listening.
void Daemon::drain() {
  log::info("stopping", {{"requests_in_flight", intake_.in_flight().requests()}});
  const bool drained = server_->drain(std::chrono::steady_clock::now() + options_.drain_timeout);
  if (!drained) {
    log::warn("connections are cut: the drain timeout is over",
              {{"requests_in_flight", intake_.in_flight().requests()}});
  }
  intake_.stop();
  server_.reset();
  intake_.close();
  log::info("stopped");
}

core::Result<void> Daemon::run(const lifecycle::StopSignal& stop) {
  std::optional<std::string> fatal;
  while (!fatal && !stop.wait_for(kLookInterval)) {
    if (reloads_.take()) reload();
    about_sink_.look();
    const runtime::http::ServerStats stats = server_->stats();
    probe_.closed({.too_many = stats.connections_refused, .no_memory = stats.connections_failed});
    fatal = about_sink_.fatal();
  }
  drain();
  if (fatal) {
    return core::Error{
        core::ErrorKind::kUnavailable,
        fmt::format("no event can be kept any more: {}; then start the daemon anew", *fatal)};
  }
  return boost::outcome_v2::success();
}

}  // namespace

core::Result<void> run_daemon(DaemonOptions options, const lifecycle::StopSignal& stop) {
  Daemon daemon(std::move(options));
  if (auto started = daemon.start(); !started) return started.error();
  return daemon.run(stop);
}

}  // namespace tally::producer::serve
