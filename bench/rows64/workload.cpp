#include "bench/rows64/workload.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "base/zipf.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_set>

namespace headrace::bench {
namespace {

constexpr std::uint64_t pool_seed = 42;
constexpr std::size_t prefill_batch_rows = 4096;

void sort_by_key(row_batch& batch) {
  std::sort(batch.ranks.begin(), batch.ranks.end(), [](std::uint32_t a, std::uint32_t b) {
    return key_of_rank(a) < key_of_rank(b);
  });
  batch.keys.resize(batch.ranks.size());
  std::transform(batch.ranks.begin(), batch.ranks.end(), batch.keys.begin(), key_of_rank);
}

/// Column 0 is ±127, the others are −3 … 4; `salt` tells batches apart.
void fill_values(row_batch& batch, std::uint64_t salt) {
  batch.values.resize(batch.rows() * row_dim);
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    float* row = batch.values.data() + i * row_dim;
    std::uint64_t bits = 0;
    for (std::size_t c = 0; c < row_dim; ++c) {
      if (c % 16 == 0) bits = mix64(batch.keys[i] ^ mix64(salt * row_dim + c));
      row[c] = static_cast<float>(static_cast<int>(bits >> (c % 16 * 4) & 7U) - 3);
    }
    row[0] = row[0] > 0.0F ? 127.0F : -127.0F;
  }
}

}  // namespace

std::uint64_t key_of_rank(std::uint32_t rank) { return mix64(rank) & ~(std::uint64_t{1} << 63); }

std::vector<row_batch> make_pool(std::uint32_t batch_rows, std::uint32_t rows) {
  CHECK(batch_rows <= rows / 2);
  random_stream random(pool_seed + batch_rows);
  const zipf_rejection_inversion draw_rank(zipf_exponent, rows);
  std::vector<row_batch> pool(pool_batches);
  std::uint64_t salt = 1;
  for (auto& batch : pool) {
    std::unordered_set<std::uint32_t> seen;
    while (batch.ranks.size() < batch_rows) {
      const auto rank = static_cast<std::uint32_t>(draw_rank(random));
      if (seen.insert(rank).second) batch.ranks.push_back(rank);
    }
    sort_by_key(batch);
    fill_values(batch, salt++);
  }
  return pool;
}

std::vector<row_batch> make_prefill(std::uint32_t rows) {
  std::vector<row_batch> batches((rows + prefill_batch_rows - 1) / prefill_batch_rows);
  // Rank r goes to batch r mod n: hot rows are spread over memory, as they are after days of
  // arrivals.
  for (std::uint32_t rank = 1; rank <= rows; ++rank)
    batches[rank % batches.size()].ranks.push_back(rank);
  for (auto& batch : batches) {
    sort_by_key(batch);
    fill_values(batch, 0);
  }
  return batches;
}

}  // namespace headrace::bench
