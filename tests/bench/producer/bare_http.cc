// The floor of an HTTP server: Beast reads requests and answers 202 with no body, nothing is
// bounded or timed. `bare_http bare THREADS` has one io_context for each thread, `bare_http shared
// THREADS` one for all, `bare_http tally THREADS` is runtime/http doing the same. Prints its port,
// serves until its standard input ends. Drive it with wrk.
#include "runtime/http/server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace tally::bench {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

asio::awaitable<void> serve(tcp::socket socket) {
  boost::beast::flat_buffer buffer;
  for (;;) {
    http::request<http::string_body> request;
    const auto [read_problem, read_bytes] =
        co_await http::async_read(socket, buffer, request, kAwait);
    if (read_problem) co_return;
    http::response<http::empty_body> response(http::status::accepted, request.version());
    response.keep_alive(request.keep_alive());
    response.content_length(0);
    const auto [write_problem, written_bytes] =
        co_await http::async_write(socket, response, kAwait);
    if (write_problem || !request.keep_alive()) co_return;
  }
}

using Contexts = std::vector<std::unique_ptr<asio::io_context>>;

asio::awaitable<void> accept(tcp::acceptor& acceptor, const Contexts& contexts, bool shared) {
  for (std::size_t next = 0;; ++next) {
    asio::io_context& context = *contexts[next % contexts.size()];
    asio::any_io_executor executor = context.get_executor();
    if (shared) executor = asio::make_strand(context);
    auto [problem, socket] = co_await acceptor.async_accept(executor, kAwait);
    if (problem) co_return;
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(executor, serve(std::move(socket)), asio::detached);
  }
}

void wait_for_the_end(unsigned port) {
  std::printf("%u\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
}

void run_bare(int threads, bool shared) {
  Contexts contexts;
  for (int i = 0; i < (shared ? 1 : threads); ++i) {
    contexts.push_back(std::make_unique<asio::io_context>(shared ? threads : 1));
  }
  tcp::acceptor acceptor(*contexts[0], {asio::ip::address_v4::loopback(), 0});
  asio::co_spawn(*contexts[0], accept(acceptor, contexts, shared), asio::detached);
  std::vector<std::thread> runners;
  for (std::size_t i = 0; i < static_cast<std::size_t>(threads); ++i) {
    runners.emplace_back([context = contexts[i % contexts.size()].get()] {
      const auto work = asio::make_work_guard(*context);
      context->run();
    });
  }
  wait_for_the_end(acceptor.local_endpoint().port());
  for (const auto& context : contexts) context->stop();
  for (std::thread& runner : runners) runner.join();
}

void run_tally(int threads) {
  runtime::http::ServerOptions options;
  options.threads = threads;
  options.max_connections = 20'000;
  const runtime::http::Server server(
      options, [](runtime::http::Request&&, runtime::http::Responder responder) {
        runtime::http::Response response;
        response.status = 202;
        std::move(responder).send(std::move(response));
      });
  wait_for_the_end(server.port());
}

}  // namespace
}  // namespace tally::bench

int main(int argc, char** argv) {
  const std::string kind = argc == 3 ? argv[1] : "";
  const int threads = argc == 3 ? std::atoi(argv[2]) : 0;
  if (threads < 1 || (kind != "bare" && kind != "shared" && kind != "tally")) {
    std::fprintf(stderr, "bare_http: say bare, shared or tally, and a number of threads\n");
    return 2;
  }
  if (kind == "tally") {
    tally::bench::run_tally(threads);
  } else {
    tally::bench::run_bare(threads, kind == "shared");
  }
  return 0;
}
