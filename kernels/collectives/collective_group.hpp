#pragma once

#include "base/result.hpp"

#include <span>

namespace headrace::kernels {

/// Processes, or GPUs, that add their dense gradients up among themselves (`dense = "allreduce"`).
///
/// Every member calls the same operations in the same order with as many values. What fails once is
/// over: a member that is gone or too slow makes the call fail in all others within the group's
/// timeout, and every later call answers with the same error; whoever still wants to go on joins a
/// new group of those that are left. Values of a failed call mean nothing. Single-threaded: one
/// owner a group.
class collective_group {
 public:
  virtual ~collective_group() = default;
  virtual unsigned rank() const = 0;
  virtual unsigned size() const = 0;

  /// values [n] becomes the sum over all members: the same bits in each of them, and in every run
  /// of a group of that size. Fails: unavailable (a member is gone or slow).
  virtual result<void> all_reduce(std::span<float> values) = 0;
  /// values [n] becomes member `root`'s. Fails as all_reduce.
  virtual result<void> broadcast(std::span<float> values, unsigned root) = 0;
  /// The end: returns when every member leaves too. Who goes without it may take from the others
  /// the last answers that they haven't read yet. Fails as all_reduce.
  virtual result<void> leave() = 0;
};

}  // namespace headrace::kernels
