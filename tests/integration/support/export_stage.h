// The stage of the exporter's integration tests: a database of its own with the migrations, the
// Stripe sandbox and the shipped tally-exporter as processes. Gone when the object ends.
#pragma once

#include "runtime/http/client.h"
#include "runtime/postgres/connection.h"

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::integration {

// A child process; killed and waited for when the object ends.
class Process {
 public:
  // Standard output and error go to `output` (and `output` + ".err").
  Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& extra,
          const std::filesystem::path& output);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number) const;
  // The exit code, or minus the signal that ended it.
  int wait();

 private:
  pid_t pid_ = -1;
  std::optional<int> result_;
};

struct ExportRun {
  int exit_code = 0;
  std::string output;
  std::string errors;
};

class ExportStage {
 public:
  ExportStage();
  ~ExportStage();

  runtime::postgres::Connection& sql() { return *sql_; }
  [[nodiscard]] const std::string& conninfo() const { return conninfo_; }
  [[nodiscard]] std::string stripe_url() const;
  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return folder_ / name; }

  // aggregation: "sum" or "latest". With `at_stripe` the sandbox gets the meter too.
  void add_meter(const std::string& slug, const std::string& aggregation, int decimals);
  void add_stripe_meter(const std::string& slug, const std::string& formula);
  // `tenant` pays as "cus_<tenant>", whom the sandbox knows.
  void add_tenant(const std::string& tenant);
  // Adds `quantity` to the current hour's window.
  void add_usage(const std::string& tenant, const std::string& meter, const std::string& quantity);
  // Different values of a unique count in the current hour.
  void add_unique(const std::string& tenant, const std::string& meter,
                  const std::string& dimensions, const std::vector<int>& members);
  void set_gauge(const std::string& tenant, const std::string& meter, const std::string& dimensions,
                 const std::string& reading);

  std::string post(const std::string& target, const std::string& body, const std::string& type);
  void faults(const std::string& json);
  // Stripe's exact value of one customer and meter; "" when it has none.
  std::string oracle(const std::string& meter, const std::string& customer);
  std::int64_t oracle_events(const std::string& meter);

  [[nodiscard]] std::vector<std::string> exporter_command(
      const std::vector<std::string>& more) const;
  ExportRun export_once(const std::map<std::string, std::string>& environment = {},
                        const std::vector<std::string>& more = {});
  std::int64_t count(const std::string& query);

 private:
  std::string oracle_text();
  std::string server_;    // conninfo of the server's own database
  std::string name_;      // of the test's database
  std::string conninfo_;  // to the test's database
  std::filesystem::path folder_;
  std::filesystem::path programs_;
  std::unique_ptr<runtime::postgres::Connection> sql_;
  std::unique_ptr<Process> sandbox_;
  std::unique_ptr<runtime::http::Client> stripe_;
  std::string port_;
};

}  // namespace tally::integration
