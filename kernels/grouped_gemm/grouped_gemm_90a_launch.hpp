#pragma once

#include "kernels/grouped_gemm/grouped_gemm_90a.hpp"
#include "kernels/grouped_gemm/grouped_gemm_90a_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstdint>

/// Launches of grouped_gemm_90a.hpp, for a stream or emulated: `maps` makes a tensor_map of
/// tensor_tiles, `start` starts a kernel.
///
/// One block a multiprocessor, as shared memory allows no more: `blocks` of them, or as many as
/// there can be tiles. Tiles are 128 x 256 where the result is wide enough for 256 columns to be
/// worth loading, as each operand then serves more products; else 128 x 128.
namespace headrace::kernels {

using wide_gemm = gemm_shape<256, 4>;
using narrow_gemm = gemm_shape<128, 4>;

/// Whether 256 columns a tile leave no more columns unused than 128 would.
HEADRACE_BOTH constexpr bool suits_wide_tiles(std::uint32_t columns) {
  return (columns + 127) / 128 % 2 == 0;
}

/// [slices, lines, columns] of 16-bit values, packed.
inline tensor_tiles packed_tiles(const std::uint16_t* base,
                                 std::uint32_t slices,
                                 std::uint32_t lines,
                                 std::uint32_t columns,
                                 std::uint32_t box_lines) {
  const std::uint64_t pitch = std::uint64_t{columns} * 2;
  return {base, columns, lines, slices, pitch, pitch * lines, box_lines};
}

inline std::uint32_t persistent_blocks(std::uint64_t tiles, std::uint32_t blocks) {
  return tiles < blocks ? static_cast<std::uint32_t>(tiles) : blocks;
}

template <class Shape, operand_major major, class Maps, class Start>
void launch_product_in(const grouped_product_args& args,
                       std::uint32_t blocks,
                       const Maps& maps,
                       const Start& start) {
  constexpr bool along_k = major == operand_major::k;
  const std::uint32_t lines = along_k ? args.columns : args.depth;
  const std::uint32_t columns = along_k ? args.depth : args.columns;
  const std::uint32_t box_lines = along_k ? Shape::columns : Shape::depth;
  const grouped_product_view view{
      maps(packed_tiles(args.left, 1, args.rows, args.depth, Shape::rows)),
      maps(packed_tiles(args.weights, args.groups, lines, columns, box_lines)),
      args.out,
      args.offsets,
      args.groups,
      args.depth,
      args.columns,
      args.sums,
      args.adds};
  const std::uint64_t tiles =
      tiles_at_most(args.rows, args.groups, {Shape::rows, tiles_of(args.columns, Shape::columns)});
  start(launch_shape{{persistent_blocks(tiles, blocks)}, Shape::threads, Shape::shared_bytes},
        grouped_product_kernel<Shape, major>,
        view);
}

template <class Shape, class Maps, class Start>
void launch_product_of(const grouped_product_args& args,
                       std::uint32_t blocks,
                       const Maps& maps,
                       const Start& start) {
  if (args.order == weight_order::columns_by_depth) {
    launch_product_in<Shape, operand_major::k>(args, blocks, maps, start);
  } else {
    launch_product_in<Shape, operand_major::mn>(args, blocks, maps, start);
  }
}

template <class Maps, class Start>
void launch_grouped_product(const grouped_product_args& args,
                            std::uint32_t blocks,
                            const Maps& maps,
                            const Start& start) {
  if (args.rows == 0 || args.groups == 0) return;
  if (suits_wide_tiles(args.columns)) {
    launch_product_of<wide_gemm>(args, blocks, maps, start);
  } else {
    launch_product_of<narrow_gemm>(args, blocks, maps, start);
  }
}

template <class Shape, class Maps, class Start>
void launch_sums_of(const grouped_sums_args& args,
                    std::uint32_t blocks,
                    const Maps& maps,
                    const Start& start) {
  const grouped_sums_view view{
      maps(packed_tiles(args.left, 1, args.rows, args.depth, Shape::depth)),
      maps(packed_tiles(args.right, 1, args.rows, args.columns, Shape::depth)),
      args.out,
      args.offsets,
      args.groups,
      args.depth,
      args.columns};
  const std::uint32_t groups = args.groups < args.rows ? args.groups : args.rows;
  const std::uint64_t tiles = std::uint64_t{groups} * tiles_of(args.depth, Shape::rows) *
                              tiles_of(args.columns, Shape::columns);
  start(launch_shape{{persistent_blocks(tiles, blocks)}, Shape::threads, Shape::shared_bytes},
        grouped_sums_kernel<Shape>,
        view);
}

template <class Maps, class Start>
void launch_grouped_sums(const grouped_sums_args& args,
                         std::uint32_t blocks,
                         const Maps& maps,
                         const Start& start) {
  if (args.rows == 0 || args.groups == 0) return;
  if (suits_wide_tiles(args.columns)) {
    launch_sums_of<wide_gemm>(args, blocks, maps, start);
  } else {
    launch_sums_of<narrow_gemm>(args, blocks, maps, start);
  }
}

}  // namespace headrace::kernels
