#pragma once

#include "kernels/collectives/collective_group.hpp"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <queue>
#include <span>
#include <stop_token>
#include <thread>

namespace headrace::kernels {

/// Adds buckets of gradients up over a group while the backward pass still computes the next ones.
///
/// Its own thread calls the group, bucket after bucket in the order in which they were begun; all
/// members begin the same buckets in the same order. The lock guards the queue and what became of
/// it, never a sum on its way. begin and finish belong to one thread.
class overlapped_sum {
 public:
  /// `group` must outlive this, and nobody else calls it meanwhile.
  explicit overlapped_sum(collective_group& group);
  ~overlapped_sum();
  overlapped_sum(const overlapped_sum&) = delete;
  overlapped_sum& operator=(const overlapped_sum&) = delete;

  /// `bucket` is the sum's until finish returns.
  void begin(std::span<float> bucket);
  /// Until every bucket that was begun is summed. Fails: as the first that failed did; the others
  /// of that round mean nothing then.
  result<void> finish();

 private:
  void run(const std::stop_token& stop);

  collective_group& group_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::queue<std::span<float>> waiting_;
  std::size_t open_ = 0;  // begun and not yet summed
  std::optional<error> failed_;
  std::jthread thread_;
};

}  // namespace headrace::kernels
