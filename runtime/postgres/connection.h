// Postgres behind one small surface; libpqxx is included by connection.cc alone.
//
// Threads: one connection belongs to one thread at a time. Lifetime: rows outlive their transaction
// and connection. Parameters travel as text and are cast in the SQL ($1::bigint); Bytes travel as
// they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tally::runtime::postgres {

// The database cannot be reached, or the connection broke. Nothing is known of a statement under
// way.
class Unavailable : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
// There was no connection, and none could be made: nothing was asked, and nothing broke.
class NotConnected : public Unavailable {
  using Unavailable::Unavailable;
};
// The connection broke after COMMIT was sent: committed or not, only a locked read can tell
// (promise P3).
class InDoubt : public Unavailable {
  using Unavailable::Unavailable;
};
// The server refused a statement. The transaction is gone.
class StatementFailed : public std::runtime_error {
 public:
  StatementFailed(std::string sqlstate, const std::string& message)
      : std::runtime_error(message), sqlstate_(std::move(sqlstate)) {}
  [[nodiscard]] const std::string& sqlstate() const { return sqlstate_; }
  // Serialization failure, deadlock, lock timeout, out of resources, admin shutdown: the same
  // transaction may pass when tried again.
  [[nodiscard]] bool retriable() const;
  // A schema, table, column or function is not there: the database is another version's, and a
  // migration brings it.
  [[nodiscard]] bool is_other_schema() const;

 private:
  std::string sqlstate_;
};

// A bytea parameter, sent in binary: neither side turns it into digits and back. Borrowed: what
// `of` shows must live until the statement has run.
struct Bytes {
  std::string_view of;
};

// A text, Bytes, or (nullopt) NULL.
class Param {
 public:
  Param() = default;  // NULL
  Param(std::nullopt_t /*null*/) {}
  Param(std::string text) : value_(std::move(text)) {}
  Param(const char* text) : value_(std::string(text)) {}
  Param(std::optional<std::string> text) {
    if (text) value_ = *std::move(text);
  }
  Param(Bytes bytes) : value_(bytes) {}
  // nullptr: it is something else, or NULL.
  [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Bytes* bytes() const { return std::get_if<Bytes>(&value_); }

 private:
  std::variant<std::monostate, std::string, Bytes> value_;
};
// At most kMaxBytesParams of one statement are Bytes.
using Params = std::vector<Param>;
inline constexpr std::size_t kMaxBytesParams = 4;

class Rows {
 public:
  struct Impl;
  explicit Rows(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t affected() const;  // rows an INSERT, UPDATE or DELETE touched
  [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::string_view text(std::size_t row,
                                      std::size_t column) const;  // valid while Rows lives
  [[nodiscard]] std::int64_t int64(std::size_t row, std::size_t column) const;
  [[nodiscard]] bool boolean(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::string bytes(std::size_t row, std::size_t column) const;  // a bytea column

 private:
  std::shared_ptr<const Impl> impl_;
};

enum class Isolation { kReadCommitted, kRepeatableRead };

class Connection;

// Rolled back when destroyed without commit(). At most one per connection at a time.
class Transaction {
 public:
  struct Impl;
  explicit Transaction(std::unique_ptr<Impl> impl);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // Throws Unavailable or StatementFailed. One statement with parameters, or (without) several.
  Rows exec(const std::string& sql, const Params& params = {});
  // Throws InDoubt when the connection broke after COMMIT was sent; Unavailable when before.
  void commit();

 private:
  std::unique_ptr<Impl> impl_;
};

class Connection {
 public:
  struct Impl;
  // `conninfo` is libpq's ("host=… port=… dbname=… user=…" or a URI; the password better from
  // PGPASSFILE). Sets idle_in_transaction_session_timeout and lock_timeout to 5 s, TimeZone UTC,
  // application_name. Throws NotConnected, or Unavailable when it broke at once; the text never
  // holds the password.
  Connection(const std::string& conninfo, const std::string& application_name);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();
  [[nodiscard]] Transaction begin(Isolation isolation = Isolation::kReadCommitted);
  // One statement in a transaction of its own.
  Rows exec(const std::string& sql, const Params& params = {});
  [[nodiscard]] bool is_open() const;

 private:
  std::unique_ptr<Impl> impl_;
};

// Text forms for parameters.
[[nodiscard]] std::string bytes_text(std::string_view bytes);  // "\x0011…" for a ::bytea[] element
// Builds "{…}" for a ::text[] (quoted and escaped) or ::bigint[] cast. nullopt becomes NULL.
class ArrayText {
 public:
  void add(std::string_view value);
  void add(std::int64_t value);
  void add_null();
  [[nodiscard]] std::string take();  // the finished literal; the builder is empty again

 private:
  void separate();
  std::string text_;
};

}  // namespace tally::runtime::postgres
