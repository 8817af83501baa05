#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace headrace::tests {

/// A program under test: its output goes to files that can be read while it runs. Killed and reaped
/// when the object goes. Only ever signals the process it started.
class child_process {
 public:
  /// Starts `arguments[0]` with the rest; environment entries `NAME=value` are added.
  explicit child_process(std::vector<std::string> arguments,
                         std::vector<std::string> environment = {});
  ~child_process();
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// Exit status (128 + signal when killed), or nothing when it still runs at the deadline.
  std::optional<int> wait_for(std::chrono::milliseconds deadline);
  /// Waits until `text` stands in its standard error or output. False at the deadline or when it
  /// ended without.
  bool wait_for_text(const std::string& text, std::chrono::milliseconds deadline);

  std::string output() const;
  std::string errors() const;

 private:
  std::string out_path_;
  std::string error_path_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// Runs to the end and returns the exit status; fails the test at the deadline (status −1).
struct finished {
  int status = -1;
  std::string output;
  std::string errors;
};
finished run_program(std::vector<std::string> arguments,
                     std::chrono::milliseconds deadline,
                     std::vector<std::string> environment = {});

/// A new folder, removed with everything in it at the end.
class temporary_folder {
 public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The value behind `"key":` in one line of JSON, as text without quotes; empty when it is not
/// there.
std::string json_field(const std::string& json, const std::string& key);

/// The binary under test: HEADRACE_BINARY, set by CMake.
std::string headrace_binary();
/// Folder of real data, or nothing (the test then skips and says why).
std::optional<std::string> data_folder();

/// HEADRACE_SEED, or one drawn from the clock; printed by whoever uses it.
unsigned long long test_seed();

}  // namespace headrace::tests
