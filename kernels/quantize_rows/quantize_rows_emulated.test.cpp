#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/quantize_rows/quantize_rows_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

const std::vector<std::uint32_t> row_counts = {0, 1, 33};
const std::vector<std::uint32_t> dims = {1, 4, 5, 16, 17, 64, 128, 129, 132, 256, 301};

/// Rows of every magnitude, hard values among them.
template <class Buffer>
void draw_rows(Buffer& values, std::size_t dim, random_stream& random) {
  for (std::size_t i = 0; i < values.span().size(); ++i) {
    const int exponent = static_cast<int>(i / dim * 37 % 270) - 140;
    values.span()[i] = std::ldexp(next_signed(random), exponent);
    if (random.next_below(64) == 0) values.span()[i] = next_hard(random, 1);
  }
}

/// A buffer aligned as device memory is, with the interface of `misaligned`.
template <class Value>
class aligned {
 public:
  explicit aligned(std::size_t n, Value fill = Value{}) : memory_(n + 64, fill), n_(n) {}
  std::span<Value> span() {
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    return std::span<Value>(memory_).subspan((64 - at % 64) / sizeof(Value), n_);
  }

 private:
  std::vector<Value> memory_;
  std::size_t n_;
};

template <template <class> class Buffer>
void expect_bits_of_the_reference(std::uint32_t rows, std::uint32_t dim) {
  SCOPED_TRACE(std::to_string(rows) + " rows of dim " + std::to_string(dim));
  random_stream random(test_seed() + dim);
  const std::size_t size = std::size_t{rows} * dim;
  Buffer<float> values(size);
  draw_rows(values, dim, random);
  std::vector<std::int8_t> codes(size);
  std::vector<std::uint16_t> scales(rows);
  std::vector<float> decoded(size);
  quantize_rows_ref({.values = values.span(), .codes = codes, .scales = scales, .dim = dim});
  dequantize_rows_ref({.codes = codes, .scales = scales, .dim = dim, .values = decoded});
  for_each_order([&](const emulated_launch& launch) {
    Buffer<std::int8_t> got_codes(size, std::int8_t{99});
    Buffer<std::uint16_t> got_scales(rows, 99);
    Buffer<float> got(size, NAN);
    launch_quantize_rows(
        {values.span().data(), got_codes.span().data(), got_scales.span().data(), rows, dim, false},
        launch);
    launch_dequantize_rows(
        {got_codes.span().data(), got_scales.span().data(), got.span().data(), rows, dim, false},
        launch);
    ASSERT_TRUE(same_bits(got_codes.span(), std::span(codes)));
    ASSERT_TRUE(same_bits(got_scales.span(), std::span(scales)));
    ASSERT_TRUE(same_bits(got.span(), std::span(decoded)));
  });
}

TEST(QuantizeRowsKernel, GivesTheBitsOfTheReferenceForEveryWidth) {
  for (const std::uint32_t dim : dims) {
    for (const std::uint32_t rows : row_counts) {
      expect_bits_of_the_reference<aligned>(rows, dim);
      expect_bits_of_the_reference<misaligned>(rows, dim);
    }
  }
}

TEST(QuantizeRowsKernel, RowsShareAWarpWhereTheyAreNarrow) {
  EXPECT_EQ(device::team_lanes(1), 1U);
  EXPECT_EQ(device::team_lanes(4), 1U);
  EXPECT_EQ(device::team_lanes(5), 2U);
  EXPECT_EQ(device::team_lanes(16), 4U);
  EXPECT_EQ(device::team_lanes(127), 32U);
  EXPECT_EQ(device::team_lanes(4'096), 32U);
  EXPECT_EQ(device::team_blocks(33, 16), 2U);
  EXPECT_EQ(device::team_blocks(0xFFFFFFFFU, 1), 0x2000000U);
}

}  // namespace
}  // namespace headrace::kernels
