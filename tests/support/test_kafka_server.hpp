#pragma once

#include "tests/support/child_process.hpp"
#include "tests/support/test_brokers.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace headrace::tests {

/// tests/support/kafka_server.py with its batches in a folder of its own.
class kafka_server {
 public:
  static bool is_there() {
    const char* script = std::getenv("HEADRACE_KAFKA_SERVER");
    return script != nullptr && ::access(script, R_OK) == 0 && !find_server("python3").empty();
  }
  explicit kafka_server(std::vector<std::string> more = {}) : more_(std::move(more)) {}
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  void start() {
    std::vector<std::string> words{find_server("python3"),
                                   std::getenv("HEADRACE_KAFKA_SERVER"),
                                   "--root",
                                   folder_.path(),
                                   "--port",
                                   std::to_string(port_)};
    words.insert(words.end(), more_.begin(), more_.end());
    process_ = std::make_unique<child_process>(words);
    ASSERT_TRUE(process_->wait_for_text("listening on", std::chrono::seconds(30)))
        << process_->errors();
  }
  void kill() { process_.reset(); }  // SIGKILL
  /// Of the next produce requests: ok, lost or drop each.
  void then(const std::string& faults) { std::ofstream(folder_ / "faults") << faults; }

 private:
  temporary_folder folder_;
  std::vector<std::string> more_;
  int port_ = free_port();
  std::unique_ptr<child_process> process_;
};

}  // namespace headrace::tests
