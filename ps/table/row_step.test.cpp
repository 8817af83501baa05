#include "ps/table/row_step.hpp"

#include "kernels/init_rows/init_rows.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/targets.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "ps/shard/test_push.hpp"
#include "schemas/hash.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;

constexpr std::array kinds = {optimizer_kind::add,
                              optimizer_kind::sgd,
                              optimizer_kind::adagrad,
                              optimizer_kind::momentum,
                              optimizer_kind::rowwise_adagrad,
                              optimizer_kind::adam,
                              optimizer_kind::adamw,
                              optimizer_kind::ftrl};
constexpr std::array codecs = {
    value_codec::fp32, value_codec::int8, value_codec::fp16, value_codec::bf16};

schemas::table_spec spec_of(optimizer_kind kind, value_codec stored, std::uint32_t dim) {
  schemas::table_spec spec = one_table(kind, dim).tables[0];
  spec.stored = stored;
  spec.init.scale = 0.1F;
  spec.optimizer.first_order_columns = 1;
  spec.optimizer.gradient_clip = 2.0F;
  spec.optimizer.l2 = 0.001F;
  spec.optimizer.weight_decay = 0.01F;
  spec.optimizer.ftrl_l1 = 0.01F;
  return spec;
}

/// Rows of one table without the table: headers with payloads, as a slab holds them.
class loose_rows {
 public:
  loose_rows(const schemas::table_spec& spec, std::size_t n)
      : spec_(spec),
        shape_(spec),
        stride_((sizeof(row_header) + shape_.payload_bytes + 7) / 8),
        memory_(n * stride_) {
    for (std::size_t i = 0; i < n; ++i) {
      rows_.push_back(reinterpret_cast<row_header*>(&memory_[i * stride_]));
      rows_[i]->key = mix64(i);
    }
    init_payloads(spec_, shape_, rows_);
  }
  /// Counts one more push of each row, then steps `each` rows a call.
  void push(const block_data& block, std::size_t each = ~std::size_t{0}) {
    for (row_header* row : rows_) ++row->count;
    for (std::size_t begin = 0; begin < rows_.size(); begin += std::min(each, rows_.size())) {
      const auto some = std::span(rows_).subspan(begin, std::min(each, rows_.size() - begin));
      step_rows(spec_, shape_, some, block.view(), begin);
    }
  }
  std::vector<float> weights() const {
    std::vector<float> values(rows_.size() * shape_.dim);
    const std::vector<const row_header*> rows(rows_.begin(), rows_.end());
    widen_weights(shape_, rows, values);
    return values;
  }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(memory_)); }
  std::span<row_header* const> rows() const { return rows_; }
  const row_shape& shape() const { return shape_; }

 private:
  schemas::table_spec spec_;
  row_shape shape_;
  std::size_t stride_;
  std::vector<std::uint64_t> memory_;
  std::vector<row_header*> rows_;
};

/// The push number `number` of n rows, in any codec; every value is exact in binary fractions, so
/// that it is the same on every machine.
block_data push_of(value_codec codec, std::size_t n, std::uint32_t dim, std::uint64_t number) {
  random_stream random(number);
  block_data block;
  block.dim = dim;
  block.keys.resize(n);  // step_rows takes rows, not keys
  const auto draw = [&] {
    return static_cast<float>(random.next() % 4'001) * 0x1p-10F - 1.953125F;
  };
  for (std::size_t i = 0; i < n * dim; ++i) {
    switch (codec) {
      case value_codec::fp32:
        block.values.push_back(draw());
        break;
      case value_codec::int8:
        block.codes.push_back(static_cast<std::int8_t>(random.next()));
        break;
      case value_codec::fp16:
        block.words.push_back(kernels::half_nearest(draw()));
        break;
      case value_codec::bf16:
        block.words.push_back(kernels::brain_nearest(draw()));
        break;
      default:
        break;
    }
  }
  block.word_codec = codec;
  if (codec == value_codec::int8) block.scales.assign(n, 0x2000);  // 2^-7
  return block;
}

/// All rows after 6 pushes, one of each codec and two more.
schemas::hash128 digest_of(optimizer_kind kind, value_codec stored, std::uint32_t dim) {
  const kernels::float_mode mode;
  const std::size_t n = 2'000 / dim + 3;
  loose_rows rows(spec_of(kind, stored, dim), n);
  for (std::uint64_t number = 0; number < 6; ++number) {
    rows.push(push_of(codecs[number % 4], n, dim, number));
  }
  return schemas::hash128_of(rows.bytes(), 0);
}

template <class Check>
void for_each_cpu_target(const Check& check) {
  for (const kernels::cpu_target target : kernels::cpu_targets()) {
    SCOPED_TRACE("target " + kernels::name(target));
    const kernels::cpu_target_override chosen(target);
    check();
  }
}

/// Frozen: a log written by one build is replayed by another, whatever its compiler, flags and
/// target. The constant is that of GCC and of Clang.
TEST(RowStep, HasOneDigestOnEveryTargetForEveryOptimizerAndCodec) {
  for_each_cpu_target([] {
    schemas::hash128 all;
    for (const optimizer_kind kind : kinds) {
      for (const value_codec stored : codecs) {
        for (const std::uint32_t dim : {1U, 5U, 16U, 64U, 131U})
          all += digest_of(kind, stored, dim);
      }
    }
    EXPECT_EQ(to_string(all), "d5aa11711ade55d59b735f6845a328f7");
  });
}

TEST(RowStep, StepsFp32RowsAsTheReferenceKernel) {
  for (const optimizer_kind kind : kinds) {
    constexpr std::uint32_t dim = 9;
    constexpr std::size_t n = 700;  // more than a chunk
    const auto spec = spec_of(kind, value_codec::fp32, dim);
    loose_rows rows(spec, n);
    loose_rows wanted(spec, n);
    const block_data block = push_of(value_codec::fp32, n, dim, test_seed());
    std::vector<float*> weights;
    for (row_header* row : wanted.rows()) {
      weights.push_back(reinterpret_cast<float*>(payload(row)));
      ++row->count;
    }
    kernels::sparse_update_ref({.rows = weights,
                                .dim = dim,
                                .gradients = block.values,
                                .rule = static_cast<kernels::update_rule>(kind),
                                .rate = spec.optimizer.rate,
                                .first_rate = spec.optimizer.first_rate,
                                .first_columns = 1,
                                .l2 = spec.optimizer.l2,
                                .clip = spec.optimizer.gradient_clip,
                                .momentum = spec.optimizer.momentum,
                                .beta1 = spec.optimizer.beta1,
                                .beta2 = spec.optimizer.beta2,
                                .weight_decay = spec.optimizer.weight_decay,
                                .ftrl_l1 = spec.optimizer.ftrl_l1,
                                .ftrl_l2 = spec.optimizer.ftrl_l2,
                                .ftrl_beta = spec.optimizer.ftrl_beta});
    rows.push(block);
    EXPECT_TRUE(std::ranges::equal(rows.bytes(), wanted.bytes())) << name(kind);
  }
}

TEST(RowStep, DoesNotDependOnHowRowsAreSplitIntoCalls) {
  for (const optimizer_kind kind : kinds) {
    for (const value_codec stored : codecs) {
      const auto spec = spec_of(kind, stored, 33);
      loose_rows at_once(spec, 600);
      loose_rows one_by_one(spec, 600);
      const block_data block = push_of(value_codec::int8, 600, 33, test_seed());
      at_once.push(block);
      one_by_one.push(block, 1);
      EXPECT_TRUE(std::ranges::equal(at_once.bytes(), one_by_one.bytes()))
          << name(kind) << ", " << name(stored);
    }
  }
}

TEST(RowStep, TakesTheWidestRows) {
  for (const value_codec stored : codecs) {
    loose_rows rows(spec_of(optimizer_kind::adam, stored, 1'024), 10);
    rows.push(push_of(value_codec::bf16, 10, 1'024, test_seed()));
    for (const float weight : rows.weights()) ASSERT_LE(std::abs(weight), 0.3F);
  }
}

TEST(RowStep, BeginsWithInitialValuesRoundedToTheNearest) {
  constexpr std::uint32_t dim = 20;
  for (const value_codec stored : codecs) {
    const auto spec = spec_of(optimizer_kind::sgd, stored, dim);
    const loose_rows rows(spec, 50);
    std::vector<std::uint64_t> keys;
    for (const row_header* row : rows.rows()) keys.push_back(row->key);
    std::vector<float> exact(keys.size() * dim);
    kernels::init_rows({.keys = keys,
                        .seed = spec.init.seed,
                        .scale = spec.init.scale,
                        .first_order_columns = 1,
                        .dim = dim,
                        .values = exact});
    const auto weights = rows.weights();
    const float half_step = stored == value_codec::fp32   ? 0.0F
                            : stored == value_codec::int8 ? 0.1F / 127.0F / 2.0F * 1.002F
                            : stored == value_codec::fp16 ? 0.1F * 0x1p-11F
                                                          : 0.1F * 0x1p-8F;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      ASSERT_LE(std::abs(weights[i] - exact[i]), half_step) << name(stored);
    }
  }
}

TEST(RowStep, KeepsStateInF32BehindTheWeights) {
  for (const value_codec stored : codecs) {
    auto spec = spec_of(optimizer_kind::adagrad, stored, 3);
    spec.optimizer.l2 = 0.0F;
    loose_rows rows(spec, 1);
    block_data block;
    block.dim = 3;
    block.keys = {0};
    block.values = {0.5F, 1.0F, -2.0F};
    rows.push(block);
    std::array<float, 3> state{};
    std::memcpy(state.data(), payload(rows.rows()[0]) + rows.shape().weight_bytes, sizeof(state));
    EXPECT_EQ(state, (std::array{0.1F + 0.25F, 0.1F + 1.0F, 0.1F + 4.0F})) << name(stored);
  }
}

/// Steps of a tenth of what a bf16 weight can tell apart: rounded to nearest they would all be
/// lost.
TEST(RowStep, LosesNoSmallStepsOnAverage) {
  constexpr std::uint32_t dim = 16;
  constexpr std::size_t n = 2'000;
  constexpr int pushes = 20;
  constexpr float step = 0x1p-7F / 10;
  for (const value_codec stored : {value_codec::bf16, value_codec::fp16, value_codec::int8}) {
    auto spec = spec_of(optimizer_kind::add, stored, dim);
    spec.optimizer.first_order_columns = 0;
    spec.optimizer.l2 = 0.0F;
    spec.init.scale = 0.0F;
    loose_rows rows(spec, n);
    block_data block;
    block.dim = dim;
    block.keys.resize(n);
    block.values.assign(n * dim, 1.0F);
    rows.push(block);
    block.values.assign(n * dim, step);
    for (std::size_t i = 0; i < n * dim; i += dim) block.values[i] = 0.0F;
    for (int i = 0; i < pushes; ++i) rows.push(block);
    const auto weights = rows.weights();
    double sum = 0.0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % dim != 0) sum += static_cast<double>(weights[i]);
    }
    const double mean = sum / static_cast<double>(n * (dim - 1));
    // At most 20 roundings of at most a step of 2^-7 each, over 30,000 values: 6 deviations.
    EXPECT_NEAR(
        mean, 1.0 + pushes * static_cast<double>(step), 6.0 * 0x1p-8 * std::sqrt(20.0 / 30'000.0))
        << name(stored);
  }
}

TEST(RowStep, RoundsByKeyAndCount) {
  const auto spec = spec_of(optimizer_kind::sgd, value_codec::bf16, 64);
  const block_data block = push_of(value_codec::fp32, 8, 64, test_seed());
  loose_rows rows(spec, 8);
  loose_rows again(spec, 8);
  loose_rows later(spec, 8);
  for (row_header* row : later.rows()) row->count = 5;
  rows.push(block);
  again.push(block);
  later.push(block);
  EXPECT_TRUE(std::ranges::equal(rows.bytes(), again.bytes()));
  EXPECT_NE(rows.weights(), later.weights());
}

TEST(RowShape, LaysOutWeightsThenState) {
  const row_shape plain(spec_of(optimizer_kind::adagrad, value_codec::fp32, 7));
  EXPECT_EQ(plain.weight_bytes, 28U);
  EXPECT_EQ(plain.state_floats, 7U);
  EXPECT_EQ(plain.payload_bytes, 56U);
  const row_shape small(spec_of(optimizer_kind::adam, value_codec::int8, 7));
  EXPECT_EQ(small.weight_bytes, 12U);  // scale, codes, one zero
  EXPECT_EQ(small.state_floats, 15U);
  EXPECT_EQ(small.payload_bytes, 72U);
  EXPECT_EQ(row_shape(spec_of(optimizer_kind::rowwise_adagrad, value_codec::bf16, 7)).payload_bytes,
            20U);
}

}  // namespace
}  // namespace headrace::ps
