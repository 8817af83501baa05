#pragma once

#include "kernels/linear/linear_launch.hpp"
#include "kernels/softmax_loss/vocab_softmax_kernel.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// Launch shapes of vocab_softmax. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

struct device_vocab {
  const float* x;      // [positions, dim]
  const float* items;  // [items, dim]
  const std::uint32_t* labels;
  const float* weights;  // or null
  std::uint32_t positions;
  std::uint32_t items_count;
  std::uint32_t dim;
};

/// Items of a slice of forward: slices as give some 512 blocks of 64 positions, of whole tiles. A
/// function of the sizes alone: sums have one order everywhere.
constexpr std::uint32_t vocab_slice_items(std::uint32_t positions, std::uint32_t items) {
  const std::uint32_t rows = std::max(1U, tiles_across(positions, device::tile_rows));
  const std::uint32_t most = std::max(1U, 512 / rows);
  const std::uint32_t tiles = tiles_across(items, device::tile_columns);
  return std::max(1U, tiles_across(tiles, most)) * device::tile_columns;
}

/// Items whose gradients backward has at a time: 64 MiB of them, or 64 items.
constexpr std::uint32_t vocab_chunk_items(std::uint32_t positions, std::uint32_t items) {
  constexpr std::uint32_t floats = 1U << 24;
  const std::uint32_t most = std::min(floats / std::max(1U, positions), 65'536U);
  const std::uint32_t whole = std::max(1U, most / device::tile_columns) * device::tile_columns;
  return std::min(whole, std::max(1U, items));
}

/// Workspace of forward; null while it is measured.
struct vocab_forward_parts {
  vocab_forward_parts(std::byte* workspace, std::uint32_t positions, std::uint32_t items)
      : slice_items(vocab_slice_items(positions, items)),
        slices(std::max(1U, tiles_across(items, slice_items))) {
    workspace_parts parts(workspace);
    largest = parts.take<float>(std::size_t{slices} * positions);
    sums = parts.take<float>(std::size_t{slices} * positions);
    label_logits = parts.take<float>(positions);
    partials = parts.take<double>(sum_blocks(positions));
    bytes = parts.bytes();
  }
  std::uint32_t slice_items;
  std::uint32_t slices;
  float* largest;
  float* sums;
  float* label_logits;
  double* partials;
  std::size_t bytes;
};

/// Workspace of backward; null while it is measured.
struct vocab_backward_parts {
  vocab_backward_parts(std::byte* workspace,
                       std::uint32_t positions,
                       std::uint32_t items,
                       std::uint32_t dim)
      : chunk(vocab_chunk_items(positions, items)) {
    workspace_parts parts(workspace);
    const std::uint32_t last = items % chunk;  // slices of a sum follow from its depth
    gradients = parts.take<float>(std::size_t{positions} * chunk);
    partials = parts.take<float>(std::max({slice_partials(chunk, positions, dim),
                                           slice_partials(last, positions, dim),
                                           slice_partials(positions, chunk, dim),
                                           slice_partials(positions, last, dim)}));
    bytes = parts.bytes();
  }
  std::uint32_t chunk;
  float* gradients;
  float* partials;
  std::size_t bytes;
};

/// The items from `first` on, `count` of them.
inline device::vocab_view vocab_part(const device_vocab& of,
                                     std::uint32_t first,
                                     std::uint32_t count) {
  device::vocab_view view{};
  view.logits.a = of.x;
  view.logits.a_row = of.dim;
  view.logits.a_depth = 1;
  view.logits.b = of.items + std::size_t{first} * of.dim;
  view.logits.b_depth = 1;
  view.logits.b_column = of.dim;
  view.logits.m = of.positions;
  view.logits.n = count;
  view.logits.k = of.dim;
  view.labels = of.labels;
  view.weights = of.weights;
  return view;
}

/// Writes losses and lse [positions], and the loss, one double on the device. items_count >= 1.
template <class Launch>
void launch_vocab_softmax(const device_vocab& of,
                          const vocab_forward_parts& parts,
                          float* losses,
                          float* lse,
                          double* loss,
                          const Launch& launch) {
  const device::vocab_forward_view view = {vocab_part(of, 0, of.items_count),
                                           parts.slice_items,
                                           parts.slices,
                                           parts.largest,
                                           parts.sums,
                                           parts.label_logits,
                                           losses,
                                           lse,
                                           parts.partials};
  if (of.positions > 0)
    launch(launch_shape{.grid = {tiles_across(of.positions, device::tile_rows), parts.slices},
                        .threads = device::tile_threads,
                        .shared_bytes = device::tile_bytes},
           device::vocab_forward_kernel,
           view);
  const std::uint32_t blocks = sum_blocks(of.positions);
  launch(
      launch_shape{
          .grid = {blocks}, .threads = device::sum_threads, .shared_bytes = block_sum_bytes},
      device::vocab_merge_kernel,
      view);
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::add_block_sums_kernel,
         static_cast<const double*>(parts.partials),
         blocks,
         1U,
         loss);
}

/// dx += P items and ditems += Pᵀ x of the items from `first` on, `count` of them.
template <class Launch>
void add_vocab_chunk(const device_vocab& of,
                     const vocab_backward_parts& parts,
                     std::uint32_t first,
                     std::uint32_t count,
                     float* dx,
                     float* ditems,
                     const Launch& launch) {
  device::product_view to_x{};
  to_x.a = parts.gradients;
  to_x.a_row = count;
  to_x.a_depth = 1;
  to_x.b = of.items + std::size_t{first} * of.dim;
  to_x.b_depth = of.dim;
  to_x.b_column = 1;
  to_x.c = dx;
  to_x.m = of.positions;
  to_x.n = of.dim;
  to_x.k = count;
  launch_sum_of_products(to_x, parts.partials, launch);
  device::product_view to_items{};
  to_items.a = parts.gradients;
  to_items.a_row = 1;
  to_items.a_depth = count;
  to_items.b = of.x;
  to_items.b_depth = of.dim;
  to_items.b_column = 1;
  to_items.c = ditems + std::size_t{first} * of.dim;
  to_items.m = count;
  to_items.n = of.dim;
  to_items.k = of.positions;
  launch_sum_of_products(to_items, parts.partials, launch);
}

/// Writes dx [positions, dim], adds to ditems [items, dim]: some items at a time, in order.
template <class Launch>
void launch_vocab_softmax_backward(const device_vocab& of,
                                   const vocab_backward_parts& parts,
                                   const float* lse,
                                   float* dx,
                                   float* ditems,
                                   const Launch& launch) {
  const std::size_t size = std::size_t{of.positions} * of.dim;
  if (size == 0) return;
  launch(elementwise_shape(size), device::clear_floats_kernel, dx, size);
  std::uint32_t count = 0;
  for (std::uint32_t first = 0; first < of.items_count; first += count) {
    count = std::min(parts.chunk, of.items_count - first);
    launch(launch_shape{.grid = {tiles_across(of.positions, device::tile_rows),
                                 tiles_across(count, device::tile_columns)},
                        .threads = device::tile_threads,
                        .shared_bytes = device::tile_bytes},
           device::vocab_gradient_kernel,
           device::vocab_gradient_view{vocab_part(of, first, count), first, lse, parts.gradients});
    add_vocab_chunk(of, parts, first, count, dx, ditems, launch);
  }
}

}  // namespace headrace::kernels
