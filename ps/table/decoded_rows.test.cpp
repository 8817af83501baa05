#include "ps/table/decoded_rows.hpp"

#include "kernels/error_feedback/error_feedback.hpp"
#include "kernels/top_k/top_k.hpp"
#include "ps/shard/test_push.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace headrace::ps {
namespace {

using schemas::value_codec;

/// All rows, stretch by stretch; keys and counts must be those of the block.
std::vector<float> decode(const schemas::row_block& block) {
  std::vector<float> values;
  decoded_rows decoded(block);
  std::size_t begin = 0;
  while (const std::size_t rows = decoded.rows_from(begin)) {
    const auto part = decoded.take(begin);
    EXPECT_EQ(part.codec, value_codec::fp32);
    EXPECT_TRUE(sizes_fit(part));
    EXPECT_EQ(part.keys.size(), rows);
    EXPECT_EQ(part.keys.data(), block.keys.data() + begin);
    if (!block.counts.empty()) {
      EXPECT_EQ(part.counts.data(), block.counts.data() + begin);
    }
    EXPECT_LE(part.values.size(), std::size_t{132'000});
    values.insert(values.end(), part.fp32_values().begin(), part.fp32_values().end());
    begin += rows;
  }
  EXPECT_EQ(begin, block.keys.size());
  return values;
}

// Sizes on both sides of a stretch (16,384 floats) and of a scale.
TEST(DecodedRows, AreTheValuesOfTheBlockWhateverItsShape) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  random_stream random(test_seed());
  for (const std::uint32_t dim : {1U, 3U, 16U, 17U, 31U, 33U, 256U, 1'023U}) {
    const std::size_t stretch = 16'384 / dim;
    for (const std::size_t rows : {std::size_t{1}, std::size_t{5}, stretch, 2 * stretch + 3}) {
      block_data block;
      block.dim = dim;
      block.keys.resize(rows);
      std::iota(block.keys.begin(), block.keys.end(), std::uint64_t{9});
      block.counts.assign(rows, 2);
      const std::size_t cells = rows * dim;
      for (const std::size_t k : {std::size_t{0}, cells / 20 + 1, cells}) {
        draw_coded(block, value_codec::topk, k, random);
        ASSERT_EQ(decode(block.view()), plain_values(block.view())) << rows << " × " << dim;
      }
      draw_coded(block, value_codec::int4, 0, random);
      ASSERT_EQ(decode(block.view()), plain_values(block.view())) << rows << " × " << dim;
    }
  }
}

TEST(DecodedRows, OfASparseGradientAreWhatTheWorkerTookFromItsResidual) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  random_stream random(test_seed() + 1);
  constexpr std::size_t rows = 90;
  constexpr std::size_t dim = 256;
  constexpr std::size_t k = rows * dim / 20;
  std::vector<float> gradients(rows * dim);
  for (float& value : gradients) value = static_cast<float>(random.next_unit() - 0.5);
  std::vector<float> residuals(rows * dim, 0.0F);
  std::vector<std::uint32_t> indices(k);
  std::vector<float> selected(k);
  std::vector<std::uint32_t> workspace(kernels::top_k_workspace());
  block_data block;
  block.dim = dim;
  block.keys.resize(rows);
  std::iota(block.keys.begin(), block.keys.end(), std::uint64_t{0});
  block.scales.resize(kernels::sparse_scales(k));
  block.coded.resize(schemas::value_layout_bytes(value_codec::topk, rows, dim, k));
  const auto head = static_cast<std::uint32_t>(k);
  std::memcpy(block.coded.data(), &head, sizeof head);
  kernels::sparsify({.gradients = gradients,
                     .residuals = residuals,
                     .indices = indices,
                     .codes = {reinterpret_cast<std::int8_t*>(block.coded.data()) + 4, k},
                     .scales = block.scales,
                     .selected = selected,
                     .workspace = workspace});
  schemas::pack_indices(indices, rows * dim, std::span(block.coded).subspan(4 + k));
  const auto values = decode(received(section_of({"s", 1}, 1, 0, {block})).blocks[0]);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i] + residuals[i], gradients[i]) << i;
}

}  // namespace
}  // namespace headrace::ps
