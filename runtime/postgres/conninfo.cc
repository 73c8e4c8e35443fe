#include "runtime/postgres/conninfo.h"

#include "runtime/postgres/connection.h"

#include <libpq-fe.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

namespace tally::runtime::postgres {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

struct Default {
  std::string_view keyword;
  const char* environment;  // libpq's own variable: whoever set it has decided
  const char* value;
};

constexpr std::array kDefaults{
    Default{"connect_timeout", "PGCONNECT_TIMEOUT", "10"},
    Default{"keepalives_idle", nullptr, "10"},
    Default{"keepalives_interval", nullptr, "5"},
    Default{"keepalives_count", nullptr, "3"},
    Default{"tcp_user_timeout", nullptr, "30000"},
};

void add(std::string& conninfo, std::string_view keyword, std::string_view value) {
  conninfo.append(conninfo.empty() ? "" : " ").append(keyword).append("='");
  for (const char byte : value) {
    if (byte == '\'' || byte == '\\') conninfo += '\\';
    conninfo += byte;
  }
  conninfo += '\'';
}

const char* default_of(std::string_view keyword) {
  for (const Default& entry : kDefaults) {
    if (entry.keyword != keyword) continue;
    if (entry.environment != nullptr && std::getenv(entry.environment) != nullptr) return nullptr;
    return entry.value;
  }
  return nullptr;
}

bool is_address(std::string_view keyword) {
  return keyword == "host" || keyword == "hostaddr" || keyword == "port" || keyword == "dbname" ||
         keyword == "user" || keyword == "service";
}

void replace_all(std::string& text, const std::string& secret) {
  if (secret.empty()) return;
  for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) {
    text.replace(at, secret.size(), "***");
  }
}

}  // namespace

std::string Conninfo::without_secrets(std::string_view text) const {
  std::string line;
  for (const char byte : text) {
    const bool blank = byte == '\n' || byte == '\t' || byte == ' ';
    if (!blank) {
      line += byte;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  replace_all(line, password);
  replace_all(line, ssl_password);
  return line;
}

Conninfo read_conninfo(const std::string& text, const std::string& application_name) {
  // libpq's own message quotes the text around the mistake, which may be the password: not taken.
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(
      PQconninfoParse(text.c_str(), nullptr));
  if (!options) {
    throw NotConnected(
        "the database setting is no connection string that libpq can read (its text is not shown, "
        "it may hold a password): write \"host=… port=… dbname=… user=…\" or "
        "postgresql://user@host:port/dbname");
  }
  Conninfo result;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    if (keyword == "application_name" || keyword == "client_encoding") continue;
    if (option->val == nullptr) {
      if (const char* value = default_of(keyword)) add(result.complete, keyword, value);
      continue;
    }
    add(result.complete, keyword, option->val);
    if (keyword == "password") result.password = option->val;
    if (keyword == "sslpassword") result.ssl_password = option->val;
    if (is_address(keyword)) {
      result.shown.append(result.shown.empty() ? "" : " ").append(keyword).append("=");
      result.shown.append(option->val);
    }
  }
  add(result.complete, "client_encoding", "UTF8");
  add(result.complete, "application_name", application_name);
  if (result.shown.empty()) result.shown = "libpq's default address (PGHOST, PGPORT, PGDATABASE)";
  return result;
}

}  // namespace tally::runtime::postgres
