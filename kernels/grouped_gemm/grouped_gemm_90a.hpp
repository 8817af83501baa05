#pragma once

#include <cstddef>
#include <cstdint>

/// Products of groups of rows on the matrix units of sm_90a (kernels.md, M3): what a layer of
/// experts needs forward and backward. Sizes of groups stay on the device: nothing waits for the
/// host. For devices that has_90a() (runtime/cuda_90a.hpp).
///
/// All pointers are device memory, aligned to 16 bytes; 16-bit values are bfloat16; offsets
/// [groups + 1], ascending from 0 to `rows`: group g has rows offsets[g] up to offsets[g + 1],
/// maybe none. `depth` and `columns` are multiples of 8, at least 8, rows below 2^31. Sums are f32
/// of exact products in a fixed order: the same call gives the same bits, whatever the other groups
/// are. A group's result depends on its own rows and weights alone, even where others' are not
/// finite.
namespace headrace::kernels {

enum class weight_order : unsigned {
  depth_by_columns,  // [groups, depth, columns]: y = x W
  columns_by_depth,  // [groups, columns, depth]: dx = dy Wᵀ, of the same W
};

/// out [rows, columns] = left [rows, depth] W_g, rounded to bfloat16, nearest; or, where `sums` is
/// given, that in f32, added to it where `adds`.
struct grouped_product_args {
  const std::uint16_t* left = nullptr;
  const std::uint16_t* weights = nullptr;
  weight_order order = weight_order::depth_by_columns;
  std::uint16_t* out = nullptr;
  const std::uint32_t* offsets = nullptr;
  std::uint32_t groups = 0;
  std::uint32_t rows = 0;
  std::uint32_t depth = 0;
  std::uint32_t columns = 0;
  float* sums = nullptr;  // [rows, columns] instead of out
  bool adds = false;
};

/// out [groups, depth, columns] f32 += left [rows of g, depth]ᵀ right [rows of g, columns]: the
/// gradients of weights. Those of a group without rows are not touched.
struct grouped_sums_args {
  const std::uint16_t* left = nullptr;
  const std::uint16_t* right = nullptr;
  float* out = nullptr;
  const std::uint32_t* offsets = nullptr;
  std::uint32_t groups = 0;
  std::uint32_t rows = 0;
  std::uint32_t depth = 0;
  std::uint32_t columns = 0;
};

/// Queued on `stream` (a cudaStream_t). Ends the entry (abi/entry.hpp) when CUDA refuses.
void grouped_product_90a(const grouped_product_args& args, void* stream);
void grouped_sums_90a(const grouped_sums_args& args, void* stream);

}  // namespace headrace::kernels
