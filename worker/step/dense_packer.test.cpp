#include "worker/step/dense_packer.hpp"

#include "base/random.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

namespace headrace::worker {
namespace {

using schemas::value_codec;

constexpr std::size_t rows = 40;
constexpr std::size_t dim = 60;
constexpr batch_number late{5'000};  // behind the warm-up

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

/// A table of 40 rows, every second of them on this shard.
struct dense_table {
  dense_table() {
    set.dim = dim;
    set.gradients.resize(2 * rows * dim);
    for (std::uint32_t row = 0; row < 2 * rows; row += 2) {
      part.rows.push_back(row);
      part.keys.push_back(row);
    }
  }
  /// Gradients of one batch, of which few are large; those of the other shard stay zero.
  void draw() {
    for (const std::uint32_t row : part.rows) {
      for (std::size_t i = 0; i < dim; ++i) {
        const double unit = random.next_unit() - 0.5;
        set.gradients[row * dim + i] = static_cast<float>(8.0 * unit * unit * unit);
      }
    }
  }
  float gradient(std::size_t i) const { return set.gradients[(i / dim * 2) * dim + i % dim]; }

  random_stream random{test_seed()};
  row_set set;
  pull_plan::part part;
};

/// What a shard adds up, by the definition of the codecs.
std::vector<float> decoded(const schemas::row_block& block) {
  std::vector<float> values(rows * dim);
  if (block.codec == value_codec::int8) {
    kernels::dequantize_rows_ref(
        {.codes = block.int8_codes(), .scales = block.scales, .dim = dim, .values = values});
  } else if (block.codec == value_codec::int4) {
    kernels::decode_int4_ref(
        {.codes = {reinterpret_cast<const std::uint8_t*>(block.values.data()), block.values.size()},
         .scales = block.scales,
         .values = values});
  } else {
    EXPECT_EQ(block.codec, value_codec::topk);
    const auto chosen = schemas::split_topk(block.values);
    std::vector<std::uint32_t> indices(chosen.codes.size());
    EXPECT_TRUE(schemas::unpack_indices(chosen.positions, values.size(), indices));
    for (std::size_t i = 0; i < indices.size(); ++i) {
      values[indices[i]] =
          static_cast<float>(chosen.codes[i]) * kernels::half_to_float(block.scales[i / 256]);
    }
  }
  return values;
}

std::vector<float> push(dense_packer& by, const dense_table& table, batch_number batch = late) {
  schemas::row_block block;
  block.dim = dim;
  block.keys = table.part.keys;
  EXPECT_EQ(by.pack(table.set, table.part, batch, block), 0U);
  EXPECT_TRUE(sizes_fit(block));
  return decoded(block);
}

TEST(DensePacker, WhatLeftAndWhatIsKeptAddUpToTheGradients) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  for (const auto choice :
       {push_choice::int4, push_choice::topk5, push_choice::topk10, push_choice::automatic}) {
    SCOPED_TRACE(std::string(name(choice)));
    dense_table table;
    dense_packer by(choice);
    std::vector<double> wanted(rows * dim, 0.0);
    std::vector<double> pushed(rows * dim, 0.0);
    for (int batch = 0; batch < 50; ++batch) {
      table.draw();
      const auto values = push(by, table);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        wanted[i] += static_cast<double>(table.gradient(i));
        pushed[i] += static_cast<double>(values[i]);
      }
    }
    for (std::size_t i = 0; i < wanted.size(); ++i)
      ASSERT_NEAR(pushed[i] + static_cast<double>(by.residuals()[i]), wanted[i], 1e-4) << i;
  }
}

TEST(DensePacker, SendsWhatItLeftOutOnceGradientsStop) {
  dense_table table;
  dense_packer by(push_choice::topk5);
  table.draw();
  push(by, table);
  table.set.gradients.assign(table.set.gradients.size(), 0.0F);
  for (int batch = 0; batch < 60; ++batch) push(by, table);
  for (const float left : by.residuals()) EXPECT_LT(std::fabs(left), 0.01F);
}

TEST(DensePacker, ChoosesAQuarterAtFirstAndTheShareFromBatchAThousandOn) {
  const auto at = [](push_choice choice, std::uint64_t batch) {
    return values_chosen(choice, 10'000, batch_number{batch});
  };
  EXPECT_EQ(at(push_choice::topk5, 0), 2'500U);
  EXPECT_EQ(at(push_choice::topk5, 500), 1'500U);
  EXPECT_EQ(at(push_choice::topk5, 1'000), 500U);
  EXPECT_EQ(at(push_choice::topk5, 1'000'000), 500U);
  EXPECT_EQ(at(push_choice::topk10, 0), 2'500U);
  EXPECT_EQ(at(push_choice::topk10, 1'000), 1'000U);
  EXPECT_EQ(at(push_choice::automatic, 1'000), 1'000U);
  EXPECT_EQ(values_chosen(push_choice::topk5, 1, late), 1U);  // never nothing
  EXPECT_EQ(values_chosen(push_choice::topk5, 21, late), 2U);
}

TEST(DensePacker, ARowThatIsNotFiniteBringsNothingAndLosesNothing) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    dense_table table;
    dense_packer by(push_choice::topk5);
    table.draw();
    push(by, table);
    const std::vector<float> before(by.residuals().begin(), by.residuals().end());
    table.set.gradients.assign(table.set.gradients.size(), 0.0F);
    table.set.gradients[6 * dim + 7] = bad;  // of row 3 of the part
    schemas::row_block block;
    block.dim = dim;
    block.keys = table.part.keys;
    EXPECT_EQ(by.pack(table.set, table.part, late, block), 1U);
    const auto values = decoded(block);
    for (std::size_t i = 0; i < before.size(); ++i)
      ASSERT_EQ(values[i] + by.residuals()[i], before[i]) << i;
  }
}

TEST(DensePacker, AGradientThatWouldOverflowTheResidualIsLeftOut) {
  dense_table table;
  dense_packer by(push_choice::topk5);
  for (const std::uint32_t row : table.part.rows)
    std::fill_n(&table.set.gradients[row * dim], dim, 3e38F);
  schemas::row_block block;
  block.dim = dim;
  block.keys = table.part.keys;
  EXPECT_EQ(by.pack(table.set, table.part, late, block), 0U);
  EXPECT_EQ(by.pack(table.set, table.part, late, block), rows);  // 6e38 is no float
  for (const float left : by.residuals()) ASSERT_TRUE(std::isfinite(left));
}

// The same gradient again and again, its small values never among the largest: the residual grows.
TEST(DensePacker, AutomaticEmptiesItsResidualByInt8AtMostOnceInSixteen) {
  dense_table table;
  dense_packer by(push_choice::automatic);
  table.draw();
  std::vector<int> flushes;
  for (int batch = 1; batch <= 64; ++batch) {
    for (const std::uint32_t row : table.part.rows) {
      for (std::size_t i = 0; i < dim; ++i) table.set.gradients[row * dim + i] = 1.0F;
    }
    schemas::row_block block;
    block.dim = dim;
    block.keys = table.part.keys;
    by.pack(table.set, table.part, late, block);
    if (block.codec != value_codec::int8) continue;
    flushes.push_back(batch);
    for (const float left : by.residuals()) EXPECT_LT(std::fabs(left), 0.1F);
  }
  EXPECT_EQ(flushes, (std::vector<int>{17, 33, 49}));
}

TEST(DensePacker, AutomaticStaysAtTopkWhileTheResidualIsSmall) {
  dense_table table;
  dense_packer by(push_choice::automatic);
  for (int batch = 0; batch < 64; ++batch) {
    table.draw();
    schemas::row_block block;
    block.dim = dim;
    block.keys = table.part.keys;
    by.pack(table.set, table.part, late, block);
    EXPECT_EQ(block.codec, value_codec::topk) << batch;
  }
}

}  // namespace
}  // namespace headrace::worker
