#pragma once

#include <cstddef>
#include <cstdint>

/// CUB's radix sort, behind functions of ours so that it is compiled once. CUDA library only.
/// Stable, and so the same each run. Ends the entry as check_cuda does (runtime/cuda_call.hpp).
namespace headrace::kernels {

/// Device memory that sorting `n` pairs asks for; needs a device.
std::size_t sort_by_row_bytes(std::uint32_t n);
std::size_t sort_by_key_bytes(std::uint32_t n);

/// Pairs of a 32-bit row number below `rows` and 64 bits, by row.
void sort_by_row(const std::uint32_t* rows_in,
                 std::uint32_t* rows_out,
                 const std::uint64_t* values_in,
                 std::uint64_t* values_out,
                 std::uint32_t n,
                 std::uint32_t rows,
                 void* memory,
                 std::size_t bytes,
                 void* stream);

/// Pairs of a 64-bit key and a 32-bit position, by key.
void sort_by_key(const std::uint64_t* keys_in,
                 std::uint64_t* keys_out,
                 const std::uint32_t* values_in,
                 std::uint32_t* values_out,
                 std::uint32_t n,
                 void* memory,
                 std::size_t bytes,
                 void* stream);

}  // namespace headrace::kernels
