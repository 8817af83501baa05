#pragma once

#include "worker/prefetch/prefetch_policy.hpp"

#include <deque>

namespace headrace::worker {

/// Asks for the rows of the sealed batches behind the current one: exact, the default. Holds the
/// keys of batches that were announced and not yet pulled; the caller bounds how far it announces
/// ahead.
class next_batch_prefetch final : public prefetch_policy {
 public:
  void announce(std::span<const std::uint64_t> keys) override;
  /// Drops the oldest announced batch: it is pulled now, what was not asked for comes too late.
  void observe(std::span<const std::uint64_t> keys) override;
  void predict(std::size_t max, std::vector<std::uint64_t>& wanted) override;
  std::string report() const override;

 private:
  struct batch {
    std::vector<std::uint64_t> keys;
    std::size_t asked = 0;  // the first keys, in order
  };
  std::deque<batch> announced_;
  std::uint64_t pulled_ = 0;  // keys of all batches observed
  std::uint64_t ahead_ = 0;   // of which asked for before
};

}  // namespace headrace::worker
