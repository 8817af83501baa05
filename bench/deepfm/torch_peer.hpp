#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace headrace::bench {

/// torch_deepfm.py in a Python of its own, which waits between rounds. Killed and reaped when the
/// object goes. Single-threaded.
class torch_peer {
 public:
  struct how {
    std::string python;
    std::uint32_t batch = 512;
    double seconds = 3;
    std::uint32_t threads = 2;
    bool updates = true;  // else forward and backward alone
  };
  /// Ready to train. Fails: unavailable, where there is no such Python or it has no PyTorch;
  /// io_error.
  static result<torch_peer> start(const how& way);
  torch_peer(torch_peer&& other) noexcept;
  torch_peer& operator=(torch_peer&&) = delete;
  ~torch_peer();

  /// Version and linear algebra, as it says itself.
  const std::string& words() const { return words_; }
  /// Trains for the seconds it was started with; the median step in seconds. Fails: io_error, when
  /// it has ended.
  result<double> train();

 private:
  torch_peer() = default;
  std::string read_line();

  pid_t pid_ = -1;
  int input_ = -1;   // written by us
  int output_ = -1;  // read by us
  std::string words_;
};

}  // namespace headrace::bench
