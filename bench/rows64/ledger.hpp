#pragma once

#include "base/result.hpp"
#include "bench/rows64/workload.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace headrace::bench {

/// What was pushed to one server, in order, and so what its rows must hold.
///
/// `add`: every row, as prefill + Σ pushes of each pool batch, exact. `adagrad`: the pushes are
/// redone in order by the reference kernel for a sample of rows (every 64th rank and the 16
/// hottest), to the bit.
class ledger {
 public:
  ledger(std::span<const row_batch> prefill,
         std::span<const row_batch> pool,
         const schemas::optimizer_spec& optimizer);

  void pushed(std::size_t pool_batch) { pushes_.push_back(static_cast<std::uint32_t>(pool_batch)); }

  /// Works out the expected rows; call it once, when nothing more is pushed.
  void close();
  /// Compares rows read back with what they must hold, each value within what the codec may round
  /// (fp32: exact). Adds to `checked()`. Fails: corrupt, with the first wrong row.
  result<void> check(const row_batch& batch,
                     std::span<const float> rows,
                     schemas::value_codec codec);
  /// Pushes written down.
  std::size_t pushes() const { return pushes_.size(); }
  std::uint64_t checked() const { return checked_; }

 private:
  bool sampled(std::uint32_t rank) const;
  void add_up();
  void redo(const row_batch& batch);

  std::span<const row_batch> prefill_;
  std::span<const row_batch> pool_;
  schemas::optimizer_spec optimizer_;
  std::vector<std::uint32_t> pushes_;  // pool batch of each, in order
  std::size_t floats_per_row_ = row_dim;
  std::vector<float> rows_;  // [ranks + 1, floats_per_row_]
  std::uint64_t checked_ = 0;
};

/// The optimizer of the rows-64 table: `add`, or adagrad with rate 0.05.
schemas::optimizer_spec rows64_optimizer(schemas::optimizer_kind kind);

}  // namespace headrace::bench
