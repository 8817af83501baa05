#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/radix_sort.hpp"

#include <bit>
#include <cub/device/device_radix_sort.cuh>

namespace headrace::kernels {
namespace {

template <class Key, class Value>
std::size_t bytes_for(std::uint32_t n) {
  std::size_t bytes = 0;
  check_cuda(cub::DeviceRadixSort::SortPairs(nullptr,
                                             bytes,
                                             static_cast<const Key*>(nullptr),
                                             static_cast<Key*>(nullptr),
                                             static_cast<const Value*>(nullptr),
                                             static_cast<Value*>(nullptr),
                                             n),
             "memory of a sort");
  return bytes;
}

}  // namespace

std::size_t sort_by_row_bytes(std::uint32_t n) {
  return bytes_for<std::uint32_t, std::uint64_t>(n);
}
std::size_t sort_by_key_bytes(std::uint32_t n) {
  return bytes_for<std::uint64_t, std::uint32_t>(n);
}

void sort_by_row(const std::uint32_t* rows_in,
                 std::uint32_t* rows_out,
                 const std::uint64_t* values_in,
                 std::uint64_t* values_out,
                 std::uint32_t n,
                 std::uint32_t rows,
                 void* memory,
                 std::size_t bytes,
                 void* stream) {
  // Only the bits that row numbers have: each pass looks at some eight of them.
  const int bits = rows <= 1 ? 1 : static_cast<int>(std::bit_width(rows - 1));
  check_cuda(cub::DeviceRadixSort::SortPairs(memory,
                                             bytes,
                                             rows_in,
                                             rows_out,
                                             values_in,
                                             values_out,
                                             n,
                                             0,
                                             bits,
                                             static_cast<cudaStream_t>(stream)),
             "sort by row");
}

void sort_by_key(const std::uint64_t* keys_in,
                 std::uint64_t* keys_out,
                 const std::uint32_t* values_in,
                 std::uint32_t* values_out,
                 std::uint32_t n,
                 void* memory,
                 std::size_t bytes,
                 void* stream) {
  check_cuda(cub::DeviceRadixSort::SortPairs(memory,
                                             bytes,
                                             keys_in,
                                             keys_out,
                                             values_in,
                                             values_out,
                                             n,
                                             0,
                                             64,
                                             static_cast<cudaStream_t>(stream)),
             "sort by key");
}

}  // namespace headrace::kernels
