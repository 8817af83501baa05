#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "bench/available/options.hpp"
#include "bench/available/times.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace headrace::bench {

/// Push `number`: events of about 200 bytes with a label each, or half as many impressions with
/// each action right behind its own.
frame make_labelled_batch(const available_options& options,
                          std::uint64_t number,
                          std::uint64_t now_ms);

/// A producer whose pushes are due at fixed times, however long answers take. A push is made in the
/// time before it is due.
class open_loop_sender {
 public:
  /// Connects. Fails: bad_config.
  static result<std::unique_ptr<open_loop_sender>> open(const available_options& options);
  virtual ~open_loop_sender() = default;
  /// Sends all of them and waits for their answers. Fails: timeout, overloaded.
  virtual result<sent_pushes> send_all() = 0;
};

}  // namespace headrace::bench
