// The connection string: read, completed with bounds on waiting, and shown without its password.
// Pure: touches neither network nor files.
#pragma once

#include <string>
#include <string_view>

namespace tally::runtime::postgres {

struct Conninfo {
  // libpq's keyword form, with what the given text left open: connect_timeout=10, keepalives that
  // notice a dead peer within 25 s, tcp_user_timeout=30 s, UTF-8 and the application's name.
  std::string complete;
  std::string shown;  // "host=… port=… dbname=… user=…": only what was given, never a secret
  // The text with every secret of the connection string replaced by ***, on one line.
  [[nodiscard]] std::string without_secrets(std::string_view text) const;

  std::string password;
  std::string ssl_password;
};

// Throws NotConnected when the text is no connection string; the message never repeats the text.
[[nodiscard]] Conninfo read_conninfo(const std::string& text, const std::string& application_name);

}  // namespace tally::runtime::postgres
