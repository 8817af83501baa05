#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace headrace::bench {

/// The distribution's own, whatever stands first on the path: what baselines are beside.
inline constexpr const char* system_python = "/usr/bin/python3";

/// A script in a Python of its own, which waits between rounds. It says "ready PyTorch …" or
/// "absent WHY" on a line, then answers each line that it reads with one that starts with a number.
/// Killed and reaped when the object goes. Single-threaded.
class torch_peer {
 public:
  struct how {
    std::string python;
    std::string_view script = {};  // text of a program
    std::vector<std::string> arguments = {};
  };
  /// Ready to work. Fails: unavailable, where there is no such Python or it has no PyTorch;
  /// io_error.
  static result<torch_peer> start(const how& way);
  torch_peer(torch_peer&& other) noexcept;
  torch_peer& operator=(torch_peer&&) = delete;
  ~torch_peer();

  /// Version and linear algebra, as it says itself.
  const std::string& words() const { return words_; }
  /// One round, of the kind that `word` asks the script for; the positive number that it answers.
  /// Fails: io_error, when it has ended.
  result<double> ask(std::string_view word = "");

 private:
  torch_peer() = default;
  std::string read_line();

  pid_t pid_ = -1;
  int input_ = -1;   // written by us
  int output_ = -1;  // read by us
  std::string words_;
};

}  // namespace headrace::bench
