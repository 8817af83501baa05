#pragma once

#include "kernels/attention/attention_launch.hpp"
#include "kernels/attention/key_gradient_kernel.hpp"
#include "kernels/attention/query_gradient_kernel.hpp"
#include "kernels/attention/table_gradient_kernel.hpp"

#include <cstddef>
#include <cstdint>

/// Launch shapes of attention, backward: as attention_launch.hpp has those of forward.
namespace headrace::kernels {

/// Tiles by head dimension. A warp has both sums of 16 or 32 rows in registers, which leaves room
/// for 32 columns without spills.
template <int dim>
using short_gradient_tiles = gradient_tiles<dim, 1, 1, 32>;
template <int dim>
using long_gradient_tiles = gradient_tiles<dim, dim == 128 ? 1 : 2, 4, 32>;
template <int dim>
using table_gradient_tiles = gradient_tiles<dim, 1, 4, 32>;

/// Bytes of workspace of backward: the dots, and a table for each block where one is trained.
struct backward_workspace {
  std::size_t dots = 0;
  std::size_t tables = 0;

  static constexpr std::size_t padded(std::size_t bytes) { return (bytes + 127) / 128 * 128; }
  constexpr std::size_t bytes() const { return padded(dots) + padded(tables); }
};
constexpr backward_workspace backward_workspace_of(std::size_t tokens,
                                                   std::size_t heads,
                                                   std::size_t table_size) {
  return {tokens * heads * sizeof(float), table_gradient_blocks * table_size * sizeof(float)};
}

template <class Element, int dim, class Launch>
void launch_dots(const attention_backward_view& view, std::uint32_t tokens, const Launch& launch) {
  const std::size_t lanes = static_cast<std::size_t>(tokens) * view.forward.heads * dim / 8;
  launch(launch_shape{{static_cast<unsigned>((lanes + 127) / 128), 1, 1}, 128, 0},
         gradient_dots_kernel<Element, dim>,
         view,
         tokens);
}

template <class Element, class Tiles, class Launch>
void launch_gradients_in(const attention_backward_view& view,
                         std::uint32_t tokens,
                         const Launch& launch) {
  const attention_view& in = view.forward;
  const std::uint32_t tiles = tile_numbers(tokens, in.sequences, Tiles::rows);
  launch(launch_shape{{tiles, in.heads, 1}, Tiles::threads, Tiles::shared_bytes},
         query_gradient_kernel<Element, Tiles>,
         view);
  launch(launch_shape{{tiles, in.kv_heads, 1}, Tiles::threads, Tiles::shared_bytes},
         key_gradient_kernel<Element, Tiles>,
         view);
}

/// Fills the blocks' tables with `kernel`, of `tiles`, and adds them up.
template <class Tiles, class Kernel, class View, class Launch>
void launch_table_kernels(const Kernel& kernel,
                          const View& view,
                          const attention_view& in,
                          table_gradient_view table,
                          std::uint32_t tokens,
                          const Launch& launch) {
  table.tiles = tile_numbers(tokens, in.sequences, Tiles::rows);
  const std::uint32_t blocks =
      table.tiles < table_gradient_blocks ? table.tiles : table_gradient_blocks;
  const std::uint32_t size = in.heads * (2 * in.scores.max_distance + 1);
  launch(
      launch_shape{
          {blocks, in.heads, 1}, Tiles::threads, device::diagonal_memory<Tiles>::shared_bytes},
      kernel,
      view,
      table);
  launch(launch_shape{{(size + 127) / 128, 1, 1}, 128, 0}, sum_tables_kernel, table, blocks, size);
}

template <class Element, int dim, class Launch>
void launch_table_gradient(const attention_backward_view& view,
                           const table_gradient_view& table,
                           std::uint32_t tokens,
                           const Launch& launch) {
  using tiles = table_gradient_tiles<dim>;
  launch_table_kernels<tiles>(
      table_gradient_kernel<Element, tiles>, view, view.forward, table, tokens, launch);
}

/// Backward. `workspace` as backward_workspace_of says; `table_gradient` null: none is wanted.
template <class Element, class Launch>
void launch_attention_backward(attention_backward_view view,
                               float* table_gradient,
                               std::size_t head_dim,
                               std::uint32_t tokens,
                               void* workspace,
                               const Launch& launch) {
  const attention_view& in = view.forward;
  const backward_workspace pieces = backward_workspace_of(tokens, in.heads, 0);
  view.dots = static_cast<float*>(workspace);
  with_head_dim(head_dim, [&](auto dim) {
    launch_dots<Element, dim.value>(view, tokens, launch);
    if (are_short(tokens, in.sequences)) {
      launch_gradients_in<Element, short_gradient_tiles<dim.value>>(view, tokens, launch);
    } else {
      launch_gradients_in<Element, long_gradient_tiles<dim.value>>(view, tokens, launch);
    }
    if (table_gradient == nullptr) return;
    std::byte* tables = static_cast<std::byte*>(workspace) + pieces.bytes();
    launch_table_gradient<Element, dim.value>(
        view, {reinterpret_cast<float*>(tables), table_gradient}, tokens, launch);
  });
}

}  // namespace headrace::kernels
