#include "runtime/postgres/connection.h"

#include "core/check.h"
#include "runtime/postgres/conninfo.h"

#include <poll.h>

#include <array>
#include <charconv>
#include <pqxx/binarystring>
#include <pqxx/connection>
#include <pqxx/nontransaction>
#include <tuple>
#include <utility>

namespace tally::runtime::postgres {

struct Rows::Impl {
  pqxx::result result;
};

// The transaction's BEGIN and COMMIT are statements of our own: what a failing COMMIT means is
// decided here, in one place, and libpqxx' nontransaction only carries the text.
struct Connection::Impl {
  explicit Impl(Conninfo info) : conninfo(std::move(info)), pq(conninfo.complete) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { TALLY_CHECK(!in_transaction, "a transaction outlives its connection"); }
  Conninfo conninfo;
  pqxx::connection pq;
  bool in_transaction = false;

  void forbid_reconnects() {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    pq.inhibit_reactivation(true);
#pragma GCC diagnostic pop
  }
  pqxx::result run(const std::string& sql, const Params& params);
  [[nodiscard]] std::string said(const std::exception& error) const;
  // Has the other side hung up? True also while unread bytes, such as its reason, are waiting.
  [[nodiscard]] bool hung_up() const;
  // Statements of a server that answered: what pqxx threw becomes StatementFailed or Unavailable.
  [[noreturn]] void refused(const pqxx::sql_error& error);
  [[noreturn]] void lost(const std::string& message);
  [[noreturn]] void in_doubt(const std::string& message);
};

namespace {

// The session ended with these, whatever the socket still looks like: 08 connection exceptions,
// shutdowns of the server or the session (57P01..57P05), a transaction left idle (25P03).
bool ends_session(std::string_view sqlstate) {
  return sqlstate.starts_with("08") || sqlstate.starts_with("57P") || sqlstate == "25P03";
}

// libpqxx 6.4 drops the code of some exceptions that have a type of their own. A code that names
// the same failure stands in for it; "" when nothing is known.
std::string code_of(const pqxx::sql_error& error) {
  if (!error.sqlstate().empty()) return error.sqlstate();
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) return "42P01";
  if (dynamic_cast<const pqxx::undefined_column*>(&error) != nullptr) return "42703";
  if (dynamic_cast<const pqxx::undefined_function*>(&error) != nullptr) return "42883";
  if (dynamic_cast<const pqxx::syntax_error*>(&error) != nullptr) return "42601";
  return "";
}

}  // namespace

bool StatementFailed::retriable() const {
  const std::string_view state = sqlstate_;
  return state.starts_with("40") || state.starts_with("53") || state.starts_with("57P") ||
         state == "55P03" || state == "57014" || state == "25006";
}

bool StatementFailed::is_other_schema() const {
  return sqlstate_ == "3F000" || sqlstate_ == "42P01" || sqlstate_ == "42703" ||
         sqlstate_ == "42883";
}

// --- statements ---------------------------------------------------------------------------------

void Connection::Impl::lost(const std::string& message) {
  pq.disconnect();
  throw Unavailable("the connection to Postgres at " + conninfo.shown + " broke: " + message);
}

void Connection::Impl::in_doubt(const std::string& message) {
  pq.disconnect();
  throw InDoubt("the connection to Postgres at " + conninfo.shown +
                " broke while COMMIT was under way: " + message);
}

std::string Connection::Impl::said(const std::exception& error) const {
  std::string text = conninfo.without_secrets(error.what());
  // What libpqxx says when the socket closed under a statement hides what happened.
  if (text.find("client encoding") != std::string::npos) {
    text = "the other side closed it (the server's log tells why)";
  }
  return text;
}

bool Connection::Impl::hung_up() const {
  pollfd socket{pq.sock(), POLLRDHUP, 0};
  return ::poll(&socket, 1, 0) == 1 && (socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::Impl::refused(const pqxx::sql_error& error) {
  const std::string code = code_of(error);
  if (ends_session(code) || (code.empty() && !pq.is_open())) lost(said(error));
  throw StatementFailed(code.empty() ? "XX000" : code, said(error));
}

namespace {

// libpqxx 6.4 takes texts in any number, and Bytes too, but not the two mixed in an order that is
// known at run time only: so they go as runs of texts with Bytes between them.
class WireParams {
 public:
  explicit WireParams(const Params& params) {
    for (const Param& param : params) {
      if (const Bytes* bytes = param.bytes()) {
        TALLY_CHECK(run_ < kMaxBytesParams, "at most {} parameters in binary", kMaxBytesParams);
        runs_.at(run_++).bytes.emplace_back(bytes->of.data(), bytes->of.size());
      } else {
        add_text(param.text());
      }
    }
  }
  pqxx::result exec(pqxx::nontransaction& carrier, const std::string& sql) const {
    return exec(carrier, sql, std::make_index_sequence<kMaxBytesParams + 1>());
  }

 private:
  struct Run {
    std::vector<const char*> texts;
    std::vector<pqxx::binarystring> bytes;  // none or one, after the texts
  };

  void add_text(const std::string* text) {
    // libpq takes a text up to its first NUL: refused as the server would, never cut.
    if (text != nullptr && text->find('\0') != std::string::npos) {
      throw StatementFailed("22021",
                            "a text parameter holds a NUL byte, which Postgres cannot "
                            "keep: pass such values as bytea");
    }
    runs_.at(run_).texts.push_back(text == nullptr ? nullptr : text->c_str());
  }
  template <std::size_t... kRun>
  pqxx::result exec(pqxx::nontransaction& carrier, const std::string& sql,
                    std::index_sequence<kRun...> /*all*/) const {
    const auto in_order = std::tuple_cat(
        std::make_tuple(pqxx::prepare::make_dynamic_params(std::get<kRun>(runs_).texts),
                        pqxx::prepare::make_dynamic_params(std::get<kRun>(runs_).bytes))...);
    return std::apply([&](const auto&... run) { return carrier.exec_params(sql, run...); },
                      in_order);
  }

  std::array<Run, kMaxBytesParams + 1> runs_;
  std::size_t run_ = 0;
};

}  // namespace

pqxx::result Connection::Impl::run(const std::string& sql, const Params& params) {
  if (!pq.is_open()) lost("it was closed before this statement");
  const WireParams wire(params);
  try {
    pqxx::nontransaction carrier(pq);
    return params.empty() ? carrier.exec(sql) : wire.exec(carrier, sql);
  } catch (const pqxx::sql_error& error) {
    refused(error);
  } catch (const pqxx::serialization_failure& error) {
    throw StatementFailed("40001", said(error));
  } catch (const pqxx::deadlock_detected& error) {
    throw StatementFailed("40P01", said(error));
  } catch (const pqxx::statement_completion_unknown& error) {
    lost(said(error));
  } catch (const pqxx::transaction_rollback& error) {
    throw StatementFailed("40000", said(error));
  } catch (const pqxx::failure& error) {
    lost(said(error));
  }
}

// --- rows ---------------------------------------------------------------------------------------

namespace {

pqxx::field field_of(const pqxx::result& result, std::size_t row, std::size_t column) {
  TALLY_CHECK(row < result.size() && column < result.columns(), "row {} of {}, column {} of {}",
              row, result.size(), column, result.columns());
  return result[static_cast<pqxx::result::size_type>(row)]
               [static_cast<pqxx::row::size_type>(column)];
}

int nibble(char digit) {
  TALLY_CHECK((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'));
  return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

}  // namespace

std::size_t Rows::size() const { return impl_->result.size(); }

std::size_t Rows::affected() const { return impl_->result.affected_rows(); }

bool Rows::is_null(std::size_t row, std::size_t column) const {
  return field_of(impl_->result, row, column).is_null();
}

std::string_view Rows::text(std::size_t row, std::size_t column) const {
  const pqxx::field field = field_of(impl_->result, row, column);
  return {field.c_str(), field.size()};
}

std::int64_t Rows::int64(std::size_t row, std::size_t column) const {
  const std::string_view digits = text(row, column);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  TALLY_CHECK(error == std::errc{} && end == digits.data() + digits.size(), "'{}' in column {}",
              digits, column);
  return value;
}

bool Rows::boolean(std::size_t row, std::size_t column) const {
  const std::string_view value = text(row, column);
  TALLY_CHECK(value == "t" || value == "f", "'{}' in column {}", value, column);
  return value == "t";
}

std::string Rows::bytes(std::size_t row, std::size_t column) const {
  const std::string_view hex = text(row, column);
  TALLY_CHECK(hex.starts_with("\\x") && hex.size() % 2 == 0, "column {} is no bytea", column);
  std::string bytes((hex.size() - 2) / 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = nibble(hex[2 + (2 * i)]);
    const int low = nibble(hex[3 + (2 * i)]);
    bytes[i] = static_cast<char>((high << 4) | low);
  }
  return bytes;
}

// --- transactions -------------------------------------------------------------------------------

struct Transaction::Impl {
  explicit Impl(Connection::Impl& home) : connection(home) { connection.in_transaction = true; }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { connection.in_transaction = false; }
  Connection::Impl& connection;
  enum class State { kOpen, kFailed, kDone } state = State::kOpen;
};

Transaction::Transaction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transaction::Transaction(Transaction&&) noexcept = default;

Transaction::~Transaction() {
  if (!impl_ || impl_->state == Impl::State::kDone || !impl_->connection.pq.is_open()) return;
  try {
    impl_->connection.run("ROLLBACK", {});
  } catch (const std::exception&) {
    // A connection that cannot roll back is of no use: the server rolls back when it closes.
    impl_->connection.pq.disconnect();
  }
}

Rows Transaction::exec(const std::string& sql, const Params& params) {
  TALLY_CHECK(impl_ && impl_->state == Impl::State::kOpen, "the transaction is over: {}", sql);
  try {
    return Rows(std::make_shared<Rows::Impl>(Rows::Impl{impl_->connection.run(sql, params)}));
  } catch (...) {
    impl_->state = Impl::State::kFailed;
    throw;
  }
}

void Transaction::commit() {
  TALLY_CHECK(impl_ && impl_->state == Impl::State::kOpen, "commit of a transaction that is over");
  Connection::Impl& connection = impl_->connection;
  impl_->state = Impl::State::kDone;
  // A session that the server has ended by now (idle for too long, shutdown) cannot commit, and
  // COMMIT is not sent: nothing is in doubt.
  if (!connection.pq.is_open() || connection.hung_up()) {
    connection.lost("the other side closed it before COMMIT was sent (the server's log tells why)");
  }
  try {
    pqxx::nontransaction carrier(connection.pq);
    carrier.exec("COMMIT");
  } catch (const pqxx::serialization_failure& error) {
    throw StatementFailed("40001", connection.said(error));
  } catch (const pqxx::deadlock_detected& error) {
    throw StatementFailed("40P01", connection.said(error));
  } catch (const pqxx::sql_error& error) {
    const std::string code = code_of(error);
    if (ends_session(code) || (code.empty() && !connection.pq.is_open())) {
      connection.in_doubt(connection.said(error));
    }
    connection.refused(error);
  } catch (const pqxx::failure& error) {
    connection.in_doubt(connection.said(error));
  }
}

// --- the connection -----------------------------------------------------------------------------

namespace {

std::unique_ptr<Connection::Impl> open(const std::string& conninfo,
                                       const std::string& application_name) {
  Conninfo info = read_conninfo(conninfo, application_name);
  try {
    return std::make_unique<Connection::Impl>(info);
  } catch (const std::exception& error) {
    throw NotConnected("cannot connect to Postgres at " + info.shown + ": " +
                       info.without_secrets(error.what()) +
                       " (does the server run, and is the database setting right?)");
  }
}

constexpr const char* kSessionSettings =
    "SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '5s'; "
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'; "
    "SET extra_float_digits = 1";

}  // namespace

Connection::Connection(const std::string& conninfo, const std::string& application_name)
    : impl_(open(conninfo, application_name)) {
  impl_->forbid_reconnects();
  try {
    impl_->run(kSessionSettings, {});
  } catch (const StatementFailed& error) {
    throw NotConnected("Postgres at " + impl_->conninfo.shown +
                       " refused the session's settings: " + error.what());
  }
}

Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Transaction Connection::begin(Isolation isolation) {
  TALLY_CHECK(!impl_->in_transaction, "one transaction at a time");
  impl_->run(isolation == Isolation::kReadCommitted ? "BEGIN ISOLATION LEVEL READ COMMITTED"
                                                    : "BEGIN ISOLATION LEVEL REPEATABLE READ",
             {});
  return Transaction(std::make_unique<Transaction::Impl>(*impl_));
}

Rows Connection::exec(const std::string& sql, const Params& params) {
  TALLY_CHECK(!impl_->in_transaction, "a transaction is open: use its exec()");
  return Rows(std::make_shared<Rows::Impl>(Rows::Impl{impl_->run(sql, params)}));
}

bool Connection::is_open() const { return impl_->pq.is_open(); }

}  // namespace tally::runtime::postgres
