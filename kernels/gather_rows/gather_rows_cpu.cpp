#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/quantize_rows/quantize_scattered.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/stored_weights/narrow_scattered.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace headrace::kernels {
namespace {

/// Calls see(i, row) for each row in order, its memory asked for well before.
template <class See>
void for_rows(const gather_rows_args& args, const See& see) {
  const std::span<const std::byte* const> rows = args.rows;
  const std::size_t row_bytes = stored_bytes(args.stored, args.dim);
  const auto ask_for = [&](std::size_t i) {
    if (rows[i] != nullptr) prefetch_row(rows[i], row_bytes);
  };
  for (std::size_t i = 0; i < std::min(rows.size(), prefetch_rows_ahead); ++i) ask_for(i);
  std::size_t absent = 0;  // bytes used so far
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i + prefetch_rows_ahead < rows.size()) ask_for(i + prefetch_rows_ahead);
    if (rows[i] != nullptr) {
      see(i, rows[i]);
    } else {
      CHECK(absent + row_bytes <= args.absent_rows.size());
      see(i, args.absent_rows.data() + absent);
      absent += row_bytes;
    }
  }
  CHECK(absent == args.absent_rows.size());
}

/// Calls see(first, rows) for up to `Block` rows at a time, all of them asked for before.
template <std::size_t Block, class See>
void for_blocks(const gather_rows_args& args, const See& see) {
  std::array<const std::byte*, Block> rows;
  for_rows(args, [&](std::size_t i, const std::byte* row) {
    const std::size_t at = i % Block;
    rows[at] = row;
    if (at + 1 == Block || i + 1 == args.rows.size()) see(i - at, std::span(rows).first(at + 1));
  });
}

// memcpy already picks the widest moves of the machine: nothing for Highway to add.
void copy_values(const gather_rows_args& args) {
  const std::size_t bytes = args.dim * value_bytes(args.to);
  for_rows(args, [&args, bytes](std::size_t i, const std::byte* row) {
    std::memcpy(args.values.data() + i * bytes, row, bytes);
  });
}

void copy_codes(const gather_rows_args& args) {
  for_rows(args, [&args](std::size_t i, const std::byte* row) {
    std::memcpy(&args.scales[i], row, sizeof(args.scales[i]));
    std::memcpy(args.values.data() + i * args.dim, row + 4, args.dim);
  });
}

constexpr std::size_t block_rows = 32;  // stay in L1 between being asked for and being read
constexpr std::size_t block_floats = 4'096;

/// Rows of floats to the narrow format asked for; `first` is the number of the first.
void narrow(const gather_rows_args& args, std::size_t first, std::span<const float* const> rows) {
  std::byte* to = args.values.data() + first * args.dim * value_bytes(args.to);
  if (args.to == value_format::int8) {
    auto* codes = reinterpret_cast<std::int8_t*>(to);
    quantize_scattered_cpu(rows, args.dim, codes, args.scales.data() + first);
  } else {
    narrow_scattered_cpu(args.to, rows, args.dim, reinterpret_cast<std::uint16_t*>(to));
  }
}

void narrow_floats(const gather_rows_args& args) {
  for_blocks<block_rows>(args, [&](std::size_t first, std::span<const std::byte*> rows) {
    std::array<const float*, block_rows> floats;
    std::transform(rows.begin(), rows.end(), floats.begin(), [](const std::byte* row) {
      return reinterpret_cast<const float*>(row);
    });
    narrow(args, first, std::span(floats).first(rows.size()));
  });
}

void widen_to_values(const gather_rows_args& args) {
  auto* values = reinterpret_cast<float*>(args.values.data());
  for_blocks<block_rows>(args, [&](std::size_t first, std::span<const std::byte*> rows) {
    widen_weights_cpu({.format = args.stored,
                       .rows = rows,
                       .dim = args.dim,
                       .values = {values + first * args.dim, rows.size() * args.dim}});
  });
}

/// From one compact format to another, through floats.
void convert(const gather_rows_args& args) {
  std::array<float, block_floats> memory;
  std::array<const float*, block_rows> floats;
  const std::size_t most = block_floats / args.dim;
  for_blocks<block_rows>(args, [&](std::size_t first, std::span<const std::byte*> rows) {
    for (std::size_t begin = 0; begin < rows.size(); begin += most) {
      const auto some = rows.subspan(begin, std::min(most, rows.size() - begin));
      const auto values = std::span(memory).first(some.size() * args.dim);
      widen_weights_cpu({.format = args.stored, .rows = some, .dim = args.dim, .values = values});
      for (std::size_t i = 0; i < some.size(); ++i) floats[i] = memory.data() + i * args.dim;
      narrow(args, first + begin, std::span(floats).first(some.size()));
    }
  });
}

}  // namespace

void gather_rows_cpu(const gather_rows_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim * value_bytes(args.to));
  CHECK(args.scales.size() == (args.to == value_format::int8 ? args.rows.size() : 0));
  CHECK(args.dim <= block_floats);
  if (args.stored == args.to) {
    return args.to == value_format::int8 ? copy_codes(args) : copy_values(args);
  }
  if (args.stored == value_format::fp32) return narrow_floats(args);
  if (args.to == value_format::fp32) return widen_to_values(args);
  convert(args);
}

}  // namespace headrace::kernels
