#include "kernels/gather_rows/gather_rows.hpp"

#include "kernels/runtime/test_cases.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr std::array formats = {
    value_format::fp32, value_format::int8, value_format::fp16, value_format::bf16};

/// Stored rows at 4-byte boundaries, pointers to them in random order (twice the same is fine),
/// `absent_in_8` of 8 of them null.
struct gather_case {
  gather_case(value_format format, std::size_t n, std::size_t row_dim, std::uint64_t absent_in_8)
      : stored(format), dim(row_dim), words(stored_bytes(format, dim) / 4) {
    random_stream random(test_seed() + n * 1000 + dim);
    table = drawn(n + 3, random);
    for (std::size_t i = 0; i < n; ++i) {
      const bool absent = random.next_below(8) < absent_in_8;
      const std::uint32_t* row = &table[1 + random.next_below(n + 3) * words];
      rows.push_back(absent ? nullptr : reinterpret_cast<const std::byte*>(row));
      absent_count += absent ? 1 : 0;
    }
    absent_rows = drawn(absent_count, random);
  }
  /// Rows as round_weights writes them, behind one word.
  std::vector<std::uint32_t> drawn(std::size_t n, random_stream& random) const {
    std::vector<std::uint32_t> memory(1 + n * words);
    std::vector<float> values(n * dim);
    std::vector<std::byte*> places;
    for (float& value : values) value = next_hard(random);
    for (std::size_t i = 0; i < n; ++i) {
      places.push_back(reinterpret_cast<std::byte*>(&memory[1 + i * words]));
    }
    round_weights_ref({.format = stored, .values = values, .dim = dim, .rows = places});
    return memory;
  }
  std::span<const std::byte> absent() const {
    return std::as_bytes(std::span(absent_rows).subspan(1));
  }
  value_format stored;
  std::size_t dim;
  std::size_t words;  // of a row
  std::size_t absent_count = 0;
  std::vector<std::uint32_t> table;
  std::vector<const std::byte*> rows;
  std::vector<std::uint32_t> absent_rows;
};

struct gathered_rows {
  std::vector<std::byte> values;
  std::vector<std::uint16_t> scales;
};

template <class Gather>
gathered_rows gathered(const gather_case& one, value_format to, const Gather& op) {
  const std::size_t n = one.rows.size();
  gathered_rows out = {std::vector<std::byte>(n * one.dim * value_bytes(to), std::byte{99}),
                       std::vector<std::uint16_t>(to == value_format::int8 ? n : 0, 99)};
  op({.stored = one.stored,
      .rows = one.rows,
      .absent_rows = one.absent(),
      .dim = one.dim,
      .to = to,
      .values = out.values,
      .scales = out.scales});
  return out;
}

TEST(GatherRows, GivesTheBitsOfTheReferenceFromAndToEveryFormat) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const value_format stored : formats) {
        for (const value_format to : formats) {
          for (const std::size_t n : test_counts()) {
            for (const std::size_t dim : {1U, 3U, 4U, 16U, 17U, 64U, 257U, 1'024U}) {
              SCOPED_TRACE(std::to_string(n) + " rows of " + std::to_string(dim) + " from " +
                           std::to_string(static_cast<int>(stored)) + " to " +
                           std::to_string(static_cast<int>(to)));
              const gather_case one(stored, n, dim, 2);
              gathered_rows wanted = gathered(one, to, gather_rows_ref);
              gathered_rows got = gathered(one, to, gather_rows_cpu);
              ASSERT_EQ(got.scales, wanted.scales);
              ASSERT_TRUE(got.values == wanted.values);
            }
          }
        }
      }
    });
  });
}

TEST(GatherRows, CopiesEveryBitWhateverIsAbsent) {
  for (const value_format format : formats) {
    for (const std::uint64_t absent_in_8 : {0U, 2U, 8U}) {
      gather_case one(format, 37, 33, absent_in_8);
      for (std::uint32_t& word : one.table) word = word * 2'654'435'761U + 7;  // NaNs among them
      gathered_rows wanted = gathered(one, format, gather_rows_ref);
      gathered_rows got = gathered(one, format, gather_rows_cpu);
      ASSERT_TRUE(got.values == wanted.values);
      const std::size_t head = format == value_format::int8 ? 4 : 0;
      const std::size_t bytes = 33 * value_bytes(format);
      std::size_t absent = 0;
      for (std::size_t i = 0; i < one.rows.size(); ++i) {
        const std::byte* row = one.rows[i];
        if (row == nullptr) row = &one.absent()[absent++ * stored_bytes(format, 33)];
        ASSERT_EQ(std::memcmp(&got.values[i * bytes], row + head, bytes), 0) << "row " << i;
      }
    }
  }
}

TEST(GatherRows, PutsAbsentRowsInTheirOrder) {
  const std::array<float, 2> present = {1.0F, 2.0F};
  const std::array<const std::byte*, 3> rows = {
      nullptr, reinterpret_cast<const std::byte*>(present.data()), nullptr};
  const std::array<float, 4> absent = {5.0F, 6.0F, 7.0F, 8.0F};
  for (const auto op : {gather_rows_ref, gather_rows_cpu}) {
    std::array<float, 6> values{};
    op({.rows = rows,
        .absent_rows = std::as_bytes(std::span(absent)),
        .dim = 2,
        .values = std::as_writable_bytes(std::span(values))});
    EXPECT_EQ(values, (std::array{5.0F, 6.0F, 1.0F, 2.0F, 7.0F, 8.0F}));
  }
}

TEST(GatherRows, RoundsToTheNearestEvenHalf) {
  const std::array<float, 4> row = {
      0x1.002p+0F, 0x1.006p+0F, -0x1.0021p+0F, 1e30F};  // half, one and a half, more than a half
  const std::array<const std::byte*, 1> rows = {reinterpret_cast<const std::byte*>(row.data())};
  for_each_cpu_target([&] {
    std::array<std::uint16_t, 4> halves{};
    gather_rows_cpu({.rows = rows,
                     .dim = 4,
                     .to = value_format::fp16,
                     .values = std::as_writable_bytes(std::span(halves))});
    EXPECT_EQ(halves, (std::array<std::uint16_t, 4>{0x3C00, 0x3C02, 0xBC01, 0x7BFF}));
  });
}

TEST(GatherRows, RefusesTooFewAndTooManyAbsentRows) {
  const std::array<const std::byte*, 1> rows = {nullptr};
  std::array<float, 2> values{};
  const std::array<float, 4> absent{};
  const auto gather = [&](std::size_t given) {
    gather_rows_cpu({.rows = rows,
                     .absent_rows = std::as_bytes(std::span(absent).first(given)),
                     .dim = 2,
                     .values = std::as_writable_bytes(std::span(values))});
  };
  EXPECT_DEATH(gather(1), "absent");
  EXPECT_DEATH(gather(4), "absent");
}

}  // namespace
}  // namespace headrace::kernels
