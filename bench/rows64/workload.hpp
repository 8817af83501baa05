#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The rows-64 workload, to the letter of bench/baselines/README.md: rows of 64 floats under 64-bit
/// keys, 1 M of them there before anything is timed, Zipf 0.99, a pool of 64 batches of distinct
/// ascending keys.
namespace headrace::bench {

inline constexpr std::size_t row_dim = 64;
inline constexpr std::uint32_t rows_prefilled = 1'000'000;
inline constexpr std::size_t pool_batches = 64;
inline constexpr double zipf_exponent = 0.99;

/// mix64(rank) with the top bit cleared; rank from 1.
std::uint64_t key_of_rank(std::uint32_t rank);

/// Rows of one request: keys [n] strictly ascending, the ranks they came from [n], values [n *
/// row_dim].
///
/// Values are integers and column 0 is ±127, the largest of its row: sums of any number of pushes
/// below 2^24 / 127 are exact in float, and int8 with a scale of 1 loses nothing. So every sum can
/// be checked exactly.
struct row_batch {
  std::vector<std::uint64_t> keys;
  std::vector<std::uint32_t> ranks;
  std::vector<float> values;

  std::size_t rows() const { return keys.size(); }
  std::span<const float> row(std::size_t i) const {
    return std::span(values).subspan(i * row_dim, row_dim);
  }
};

/// `pool_batches` batches of `batch_rows` distinct keys, drawn from the stream with seed 42 +
/// batch_rows.
std::vector<row_batch> make_pool(std::uint32_t batch_rows, std::uint32_t rows = rows_prefilled);
/// What is pushed first: every rank once, in batches of up to 4096, hot rows not beside each other.
std::vector<row_batch> make_prefill(std::uint32_t rows = rows_prefilled);

}  // namespace headrace::bench
