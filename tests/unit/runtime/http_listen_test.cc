// Where the server listens: Unix sockets and TLS.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"
#include "tests/unit/runtime/tls_peer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Response echo(const Request& request) {
  Response response;
  response.body = "<" + request.target + request.body + ">";
  return response;
}

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr const char* kLastGet = "GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

class HttpListenTest : public testing::Test {
 protected:
  HttpListenTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tally-http-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder");
    folder_ = pattern;
    options_.tls_certificate_file = folder_ + "/certificate.pem";
    options_.tls_key_file = folder_ + "/key.pem";
    unix_only_.address = "";
    unix_only_.unix_socket = folder_ + "/socket";
  }
  ~HttpListenTest() override { std::filesystem::remove_all(folder_); }
  void make_certificate(const std::string& name) const {
    write_certificate(name, options_.tls_certificate_file, options_.tls_key_file);
  }

  std::string folder_;
  ServerOptions options_;  // TLS
  ServerOptions unix_only_;
};

TEST_F(HttpListenTest, UnixSocketsAreServedBesideTcp) {
  unix_only_.address = "127.0.0.1";
  const Server server(unix_only_, echo);
  struct ::stat made = {};
  ASSERT_EQ(::stat(unix_only_.unix_socket.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777U, 0660U);
  RawSocket near(unix_only_.unix_socket);
  RawSocket far(server.port());
  near.send(kGet);
  far.send(kGet);
  EXPECT_THAT(near.read_until("</a>"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(far.read_until("</a>"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpListenTest, UnixSocketIsRemovedAtTheEnd) {
  auto server = std::make_unique<Server>(unix_only_, echo);
  EXPECT_EQ(server->port(), 0);
  server->stop_accepting();
  EXPECT_FALSE(std::filesystem::exists(unix_only_.unix_socket));
  server = std::make_unique<Server>(unix_only_, echo);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(unix_only_.unix_socket));
}

TEST_F(HttpListenTest, OnlyASocketThatNobodyListensOnIsReplaced) {
  const std::string& path = unix_only_.unix_socket;
  auto living = std::make_unique<Server>(unix_only_, echo);
  EXPECT_THROW(Server(unix_only_, echo), std::runtime_error);
  RawSocket still(path);
  still.send(kGet);
  EXPECT_THAT(still.read_until("</a>"), StartsWith("HTTP/1.1 200 "));
  // A crash leaves the file: here it is moved away from its server's end and back.
  std::filesystem::rename(path, path + ".kept");
  living.reset();
  std::filesystem::rename(path + ".kept", path);
  const Server next(unix_only_, echo);
  RawSocket socket(path);
  socket.send(kGet);
  EXPECT_THAT(socket.read_until("</a>"), StartsWith("HTTP/1.1 200 "));
  ServerOptions file = unix_only_;
  file.unix_socket = folder_ + "/file";
  std::ofstream(file.unix_socket) << "precious";
  EXPECT_THROW(Server(file, echo), std::runtime_error);
  EXPECT_TRUE(std::filesystem::exists(file.unix_socket));
  file.unix_socket = folder_ + "/" + std::string(200, 'x');
  EXPECT_THROW(Server(file, echo), std::runtime_error);
}

TEST_F(HttpListenTest, ItsSuccessorsSocketIsLeftAlone) {
  auto old = std::make_unique<Server>(unix_only_, echo);
  std::filesystem::remove(unix_only_.unix_socket);
  const Server successor(unix_only_, echo);
  old.reset();
  EXPECT_TRUE(std::filesystem::exists(unix_only_.unix_socket));
}

TEST_F(HttpListenTest, NowhereToListenIsAnError) {
  unix_only_.unix_socket = "";
  EXPECT_THROW(Server(unix_only_, echo), std::runtime_error);
}

TEST_F(HttpListenTest, TlsIsServed) {
  make_certificate("first");
  const Server server(options_, echo);
  TlsPeer peer(server.port());
  EXPECT_EQ(peer.server_name(), "first");
  std::string all;
  for (int i = 0; i < 20; ++i) all += kGet;
  peer.send(all + kLastGet);
  EXPECT_THAT(peer.read_until(), EndsWith("</z>"));
  EXPECT_TRUE(peer.saw_goodbye());
  const std::string body(200'000, 'b');
  TlsPeer large(server.port(), TLS1_2_VERSION);
  large.send("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n" +
             body);
  EXPECT_THAT(large.read_until(), EndsWith("</" + body + ">"));
  EXPECT_EQ(server.stats().tls_failures, 0U);
}

TEST_F(HttpListenTest, FailedHandshakesAreCountedAndClosed) {
  make_certificate("first");
  options_.handshake_timeout = milliseconds(50);
  const Server server(options_, echo);
  EXPECT_THROW(TlsPeer(server.port(), TLS1_1_VERSION), std::runtime_error);
  RawSocket plain(server.port());
  plain.send(kGet);
  plain.read_until();
  RawSocket silent(server.port());
  EXPECT_EQ(silent.read_until(), "");
  while (server.stats().connections_open > 0) std::this_thread::yield();
  EXPECT_EQ(server.stats().tls_failures, 3U);
  EXPECT_EQ(server.stats().requests, 0U);
}

TEST_F(HttpListenTest, TlsRefusalsSurviveWhatIsStillSent) {
  make_certificate("first");
  options_.max_body_bytes = 1000;
  const Server server(options_, echo);
  TlsPeer peer(server.port());
  peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
  peer.send(std::string(60'000, 'x'));
  EXPECT_THAT(peer.read_until(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpListenTest, SlowRequestsOverTlsAreTimedOut) {
  make_certificate("first");
  options_.read_timeout = milliseconds(50);
  const Server server(options_, echo);
  TlsPeer peer(server.port());
  peer.send("GET / HT");
  EXPECT_THAT(peer.read_until(), StartsWith("HTTP/1.1 408 "));
}

TEST_F(HttpListenTest, ReloadedCertificatesServeNewConnections) {
  make_certificate("first");
  Server server(options_, echo);
  TlsPeer old(server.port());
  make_certificate("second");
  server.reload_tls();
  EXPECT_EQ(TlsPeer(server.port()).server_name(), "second");
  old.send(kGet);
  EXPECT_THAT(old.read_until("</a>"), StartsWith("HTTP/1.1 200 "));
  // A broken pair changes nothing.
  write_certificate("third", options_.tls_certificate_file, folder_ + "/other.pem");
  EXPECT_THROW(server.reload_tls(), std::runtime_error);
  EXPECT_EQ(TlsPeer(server.port()).server_name(), "second");
  std::ofstream(options_.tls_certificate_file) << "nonsense";
  EXPECT_THROW(server.reload_tls(), std::runtime_error);
  EXPECT_EQ(TlsPeer(server.port()).server_name(), "second");
}

TEST_F(HttpListenTest, TlsConnectionsDrain) {
  make_certificate("first");
  Server server(options_, echo);
  TlsPeer peer(server.port());
  peer.send(kGet);
  EXPECT_THAT(peer.read_until("</a>"), HasSubstr("200"));
  EXPECT_TRUE(server.drain(steady_clock::now() + seconds(30)));
  EXPECT_EQ(peer.read_until(), "");
}

TEST_F(HttpListenTest, MissingFilesAreClearErrors) {
  EXPECT_THROW(Server(options_, echo), std::runtime_error);
  make_certificate("first");
  options_.tls_key_file = "";
  EXPECT_THROW(Server(options_, echo), std::runtime_error);
}

}  // namespace
}  // namespace tally::runtime::http
