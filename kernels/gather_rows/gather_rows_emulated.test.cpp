#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/gather_rows/gather_rows_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

constexpr std::uint32_t table_rows = 9;
constexpr std::uint32_t more_rows = 4;
const value_format formats[] = {
    value_format::fp32, value_format::int8, value_format::fp16, value_format::bf16};

/// Rows at rest, row_bytes apart, with values of every magnitude; 4-byte aligned.
std::vector<std::uint32_t> stored_rows(value_format stored,
                                       std::uint32_t dim,
                                       std::size_t row_bytes) {
  constexpr std::size_t rows = table_rows + more_rows;
  random_stream random(test_seed() + dim);
  std::vector<float> values(rows * dim);
  for (float& value : values) value = next_hard(random, 8);
  std::vector<std::uint32_t> memory(rows * row_bytes / 4);
  std::vector<std::byte*> pointers;
  for (std::size_t r = 0; r < rows; ++r) {
    pointers.push_back(reinterpret_cast<std::byte*>(memory.data()) + r * row_bytes);
  }
  round_weights_ref(
      {.format = stored, .values = values, .dim = dim, .draws = {}, .rows = pointers});
  return memory;
}

void expect_bits_of_the_reference(value_format stored,
                                  value_format to,
                                  std::uint32_t dim,
                                  std::size_t gap) {
  SCOPED_TRACE("from " + std::to_string(static_cast<int>(stored)) + " to " +
               std::to_string(static_cast<int>(to)) + ", dim " + std::to_string(dim));
  const std::size_t row_bytes = (stored_bytes(stored, dim) + 15) / 16 * 16 + gap;
  const std::vector<std::uint32_t> memory = stored_rows(stored, dim, row_bytes);
  const auto* bytes = reinterpret_cast<const std::byte*>(memory.data());
  const std::vector<std::uint32_t> index = {3, 12, 0, 9, 8, 3, 10};
  std::vector<const std::byte*> pointers;
  for (const std::uint32_t row : index) pointers.push_back(bytes + row * row_bytes);
  std::vector<std::byte> wanted(index.size() * dim * value_bytes(to));
  std::vector<std::uint16_t> scales(to == value_format::int8 ? index.size() : 0);
  gather_rows_ref({.stored = stored,
                   .rows = pointers,
                   .absent_rows = {},
                   .dim = dim,
                   .to = to,
                   .values = wanted,
                   .scales = scales});
  for_each_order([&](const emulated_launch& launch) {
    std::vector<std::byte> got(wanted.size(), std::byte{0xA5});
    std::vector<std::uint16_t> got_scales(scales.size());
    device::gather_rows_view view{};
    view.table = bytes;
    view.more = bytes + table_rows * row_bytes;
    view.row_bytes = row_bytes;
    view.index = index.data();
    view.values = got.data();
    view.scales = got_scales.data();
    view.table_rows = table_rows;
    view.rows = static_cast<std::uint32_t>(index.size());
    view.dim = dim;
    launch_gather_rows(view, stored, to, launch);
    ASSERT_TRUE(got == wanted);
    ASSERT_TRUE(same_bits(std::span(got_scales), std::span(scales)));
  });
}

TEST(GatherRowsKernel, GivesTheBitsOfTheReferenceForEveryPairOfFormats) {
  for (const value_format stored : formats) {
    for (const value_format to : formats) {
      for (const std::uint32_t dim : {1U, 4U, 6U, 16U, 33U, 132U}) {
        for (const std::size_t gap : {0U, 4U}) expect_bits_of_the_reference(stored, to, dim, gap);
      }
    }
  }
}

TEST(GatherRowsKernel, MovesInFoursOnlyWhereBothEndsAreAligned) {
  alignas(16) std::byte memory[64];
  device::gather_rows_view view{};
  view.table = view.more = memory;
  view.values = memory;
  view.row_bytes = 32;
  view.dim = 8;
  EXPECT_TRUE(gathers_in_fours(view, value_format::fp32, value_format::fp32));
  view.values = memory + 8;
  EXPECT_FALSE(gathers_in_fours(view, value_format::fp32, value_format::fp32));
  EXPECT_TRUE(gathers_in_fours(view, value_format::fp32, value_format::bf16));
  view.row_bytes = 36;
  EXPECT_FALSE(gathers_in_fours(view, value_format::fp32, value_format::bf16));
  EXPECT_TRUE(gathers_in_fours(view, value_format::int8, value_format::int8));
  view.dim = 6;
  EXPECT_FALSE(gathers_in_fours(view, value_format::int8, value_format::int8));
}

}  // namespace
}  // namespace headrace::kernels
