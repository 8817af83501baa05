#pragma once

#include <cstddef>

/// Where the words of a packed matrix B [k, n] lie: in blocks of 64 columns by 32 rows, two rows of
/// a column side by side, as the bf16 instructions of AVX-512 and AMX read them ("VNNI"). The
/// blocks of the first 64 columns come first, in the order of their rows. It is oneDNN's format
/// BA16a64b2a; half_gemm.test.cpp holds it against that.
namespace headrace::kernels {

constexpr std::size_t packed_block_rows = 32;
constexpr std::size_t packed_block_columns = 64;

constexpr std::size_t packed_rows(std::size_t k) {
  return (k + packed_block_rows - 1) / packed_block_rows * packed_block_rows;
}
constexpr std::size_t packed_columns(std::size_t n) {
  return (n + packed_block_columns - 1) / packed_block_columns * packed_block_columns;
}

/// Words of a packed matrix, those behind its last row and column included.
constexpr std::size_t packed_words(std::size_t k, std::size_t n) {
  return packed_rows(k) * packed_columns(n);
}

/// The place of row p, column j in a packed matrix of k rows.
constexpr std::size_t packed_place(std::size_t k, std::size_t p, std::size_t j) {
  return j / packed_block_columns * packed_block_columns * packed_rows(k) +
         p / 2 * 2 * packed_block_columns + j % packed_block_columns * 2 + p % 2;
}

}  // namespace headrace::kernels
