#include "ps/table/row_gather.hpp"

#include "kernels/runtime/half.hpp"
#include "kernels/stored_weights/stored_weights.hpp"
#include "ps/shard/test_push.hpp"
#include "ps/table/row_step.hpp"
#include "ps/table/row_update.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;

constexpr std::array codecs = {
    value_codec::fp32, value_codec::int8, value_codec::fp16, value_codec::bf16};
constexpr std::uint32_t dim = 5;
constexpr std::size_t n = 1'200;  // more than two chunks

schemas::table_spec spec_of(value_codec stored) {
  auto spec = one_table(optimizer_kind::adagrad, dim).tables[0];
  spec.stored = stored;
  spec.init.scale = 0.5F;
  return spec;
}

std::vector<std::uint64_t> keys_up_to(std::size_t end, std::uint64_t step) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t key = 0; key < end; key += step) keys.push_back(key);
  return keys;
}

/// A block of a reply in memory of its own, of bytes that must be overwritten.
struct pulled {
  pulled(const table& rows,
         std::span<const std::uint64_t> keys,
         value_codec of,
         std::uint64_t stamp_ms = 0)
      : codec(of),
        values(keys.size() * dim * value_bytes(codec), std::byte{0x55}),
        scales(codec == value_codec::int8 ? keys.size() : 0, 0x5555),
        absent((keys.size() + 7) / 8) {
    gather_rows(rows, keys, codec, stamp_ms, {values, scales, absent});
  }
  bool is_absent(std::size_t row) const {
    return (static_cast<unsigned>(absent[row / 8]) >> (row % 8) & 1U) != 0;
  }
  float at(std::size_t row, std::size_t column) const {
    const std::byte* place = &values[(row * dim + column) * value_bytes(codec)];
    if (codec == value_codec::int8) {
      return static_cast<float>(static_cast<std::int8_t>(*place)) *
             kernels::half_to_float(scales[row]);
    }
    if (codec == value_codec::fp32) {
      float value = 0.0F;
      std::memcpy(&value, place, sizeof(value));
      return value;
    }
    std::uint16_t word = 0;
    std::memcpy(&word, place, sizeof(word));
    return codec == value_codec::fp16 ? kernels::half_to_float(word)
                                      : kernels::brain_to_float(word);
  }
  value_codec codec;
  std::vector<std::byte> values;
  std::vector<std::uint16_t> scales;
  std::vector<std::byte> absent;
};

/// Every third key has a row that was pushed at time 1,000.
table pushed_table(const schemas::table_spec& spec) {
  table rows(spec);
  block_data block;
  block.dim = dim;
  block.keys = keys_up_to(n, 3);
  random_stream random(test_seed());
  for (std::size_t i = 0; i < block.keys.size() * dim; ++i) {
    block.values.push_back(static_cast<float>(random.next_unit()) - 0.5F);
  }
  update_rows(rows, block.view(), {}, lsn{1}, 1'000);
  return rows;
}

TEST(RowGather, AnswersEveryCodecFromEveryStoredCodecWithinItsStep) {
  const auto keys = keys_up_to(n, 1);
  for (const value_codec stored : codecs) {
    const table rows = pushed_table(spec_of(stored));
    const pulled exact(rows, keys, value_codec::fp32);
    for (const value_codec codec : codecs) {
      SCOPED_TRACE(std::string(name(stored)) + " to " + std::string(name(codec)));
      const pulled got(rows, keys, codec);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(got.is_absent(i), i % 3 != 0);
        float magnitude = 0.0F;
        for (std::size_t c = 0; c < dim; ++c)
          magnitude = std::max(magnitude, std::abs(exact.at(i, c)));
        const float step = codec == stored || codec == value_codec::fp32 ? 0.0F
                           : codec == value_codec::int8                  ? 1.0F / 253.0F
                           : codec == value_codec::fp16                  ? 0x1p-11F
                                                                         : 0x1p-8F;
        for (std::size_t c = 0; c < dim; ++c) {
          ASSERT_LE(std::abs(got.at(i, c) - exact.at(i, c)), step * magnitude + 1e-7F * (step > 0));
        }
      }
    }
  }
}

TEST(RowGather, AnswersAnAbsentKeyAsARowMadeNowWould) {
  const auto keys = keys_up_to(700, 1);
  for (const value_codec stored : codecs) {
    const table empty(spec_of(stored));
    table made(spec_of(stored));
    std::vector<row_header*> headers(keys.size());
    made.find_or_make(keys, headers);
    for (const value_codec codec : codecs) {
      const pulled before(empty, keys, codec);
      const pulled after(made, keys, codec);
      EXPECT_TRUE(before.values == after.values) << name(stored) << " to " << name(codec);
      EXPECT_EQ(before.scales, after.scales);
      EXPECT_TRUE(before.is_absent(699));
      EXPECT_FALSE(after.is_absent(699));
    }
  }
}

TEST(RowGather, AnswersARowIdleForLongerThanItsTtlAsAbsent) {
  auto spec = spec_of(value_codec::bf16);
  spec.expiry.ttl_ms = 500;
  const table rows = pushed_table(spec);
  const table empty(spec);
  const auto keys = keys_up_to(n, 3);
  const pulled fresh(rows, keys, value_codec::fp32, 1'500);
  const pulled idle(rows, keys, value_codec::fp32, 1'501);
  const pulled initial(empty, keys, value_codec::fp32, 1'501);
  EXPECT_FALSE(fresh.is_absent(0));
  EXPECT_TRUE(idle.is_absent(0));
  EXPECT_TRUE(idle.values == initial.values);
  EXPECT_FALSE(fresh.values == initial.values);
}

TEST(RowGather, AnswersARemovedRowAsAbsent) {
  const auto spec = spec_of(value_codec::fp32);
  table rows = pushed_table(spec);
  const std::vector<std::uint64_t> gone = {3};
  remove_rows(rows, gone, lsn{2});
  const auto keys = keys_up_to(9, 3);
  const pulled got(rows, keys, value_codec::fp32);
  const pulled initial(table(spec), keys, value_codec::fp32);
  EXPECT_FALSE(got.is_absent(0));
  EXPECT_TRUE(got.is_absent(1));
  for (std::size_t c = 0; c < dim; ++c) EXPECT_EQ(got.at(1, c), initial.at(1, c));
}

}  // namespace
}  // namespace headrace::ps
