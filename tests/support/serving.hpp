#pragma once

#include "tests/support/child_process.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace headrace::tests {

/// `headrace server` as a process, and the address it said it listens on (empty when it did not
/// start).
struct serving {
  explicit serving(const std::string& job,
                   const std::string& state,
                   const std::string& listen = "tcp://127.0.0.1:*",
                   std::vector<std::string> environment = {})
      : process({headrace_binary(), "server", job, "--state", state, "--listen", listen},
                std::move(environment)) {
    if (!process.wait_for_text("listening on", std::chrono::seconds(60))) return;
    const std::string said = process.output();
    const std::string before = "listening on ";
    const auto from = said.find(before) + before.size();
    endpoint = said.substr(from, said.find_first_of(", \n", from) - from);
  }
  child_process process;
  std::string endpoint;
};

}  // namespace headrace::tests
