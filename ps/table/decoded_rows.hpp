#pragma once

#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::ps {

/// The rows of a pushed block whose codec spans rows (topk, int4) as blocks of fp32, a stretch at a
/// time: what a small frame stands for is never in memory at once.
///
/// The block has passed ps/shard/gate.hpp. Its spans outlive this. Exact, so a record decodes to
/// the same bits whenever it is read. Single-threaded.
class decoded_rows {
 public:
  explicit decoded_rows(const schemas::row_block& block);

  /// Rows from `begin` on that the next call decodes; 0 behind the last.
  std::size_t rows_from(std::size_t begin) const;
  /// Those rows as a block of their own, valid until the next call. Calls go on where the last one
  /// ended, from row 0.
  schemas::row_block take(std::size_t begin);

 private:
  void decode_topk(std::size_t first, std::span<float> values);
  void decode_int4(std::size_t first, std::span<float> values) const;

  const schemas::row_block& block_;
  std::size_t rows_max_;  // so that stretches of int4 begin with a scale of their own
  std::vector<float> values_;
  schemas::topk_values chosen_;
  std::vector<std::uint32_t> indices_;  // of the chosen
  std::size_t next_ = 0;                // of these
};

}  // namespace headrace::ps
