#pragma once

#include "kernels/attention/attention_kernel.hpp"
#include "kernels/attention/key_gradient_kernel.hpp"
#include "kernels/attention/query_gradient_kernel.hpp"
#include "kernels/attention/table_gradient_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>

/// Launch shapes of attention. `launch(shape, kernel, arguments...)` queues a kernel: on a stream
/// of CUDA, or emulated.
namespace headrace::kernels {

/// Head dimensions that the kernels have, as calls visit(constant): false where there is none.
template <int dim>
struct head_dim_constant {
  static constexpr int value = dim;
};
template <class Visit>
bool with_head_dim(std::size_t dim, const Visit& visit) {
  switch (dim) {
    case 16:
      visit(head_dim_constant<16>());
      return true;
    case 32:
      visit(head_dim_constant<32>());
      return true;
    case 64:
      visit(head_dim_constant<64>());
      return true;
    case 128:
      visit(head_dim_constant<128>());
      return true;
    default:
      return false;
  }
}

/// Sequences whose mean is below this are taken in tiles of 16 queries by blocks of one warp: most
/// of a tile of 128 would be empty, and its three other warps idle. Above, a large tile reads keys
/// and values eight times less often. Derived: at a mean of 128, large tiles are half full.
constexpr std::uint64_t short_mean_length = 128;

constexpr bool are_short(std::uint64_t tokens, std::uint64_t sequences) {
  return tokens < short_mean_length * sequences;
}

/// Tiles by head dimension. Large ones have 4 warps of 32 queries, so that each load of keys from
/// shared memory feeds two products, and two blocks fit on a multiprocessor (registers); the keys
/// of a tile are what registers leave room for.
template <int dim>
using short_attention_tiles = attention_tiles<dim, 1, 1, 32>;
template <int dim>
using long_attention_tiles = attention_tiles<dim, 2, 4, dim == 128 ? 32 : 64>;
template <int dim>
using short_gradient_tiles = gradient_tiles<dim, 1, 1, 32>;
template <int dim>
using long_gradient_tiles = gradient_tiles<dim, dim == 128 ? 1 : 2, 4, 32>;
template <int dim>
using table_gradient_tiles = gradient_tiles<dim, 1, 4, 32>;

/// Elements of a head: `tokens` is offsets.back().
template <class Element, class Tiles, class Launch>
void launch_attention_in(const attention_view& view, std::uint32_t tokens, const Launch& launch) {
  launch(launch_shape{{tile_numbers(tokens, view.sequences, Tiles::rows), view.heads, 1},
                      Tiles::threads,
                      Tiles::shared_bytes},
         attention_kernel<Element, Tiles>,
         view);
}

/// Forward. The head dimension is one that with_head_dim has.
template <class Element, class Launch>
void launch_attention(const attention_view& view,
                      std::size_t head_dim,
                      std::uint32_t tokens,
                      const Launch& launch) {
  with_head_dim(head_dim, [&](auto dim) {
    if (are_short(tokens, view.sequences)) {
      launch_attention_in<Element, short_attention_tiles<dim.value>>(view, tokens, launch);
    } else {
      launch_attention_in<Element, long_attention_tiles<dim.value>>(view, tokens, launch);
    }
  });
}

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

template <class Element, int dim, class Launch>
void launch_table_gradient(const attention_backward_view& view,
                           table_gradient_view table,
                           std::uint32_t tokens,
                           const Launch& launch) {
  using tiles = table_gradient_tiles<dim>;
  const attention_view& in = view.forward;
  table.tiles = tile_numbers(tokens, in.sequences, tiles::rows);
  const std::uint32_t blocks =
      table.tiles < table_gradient_blocks ? table.tiles : table_gradient_blocks;
  const std::uint32_t size = in.heads * (2 * in.scores.max_distance + 1);
  launch(
      launch_shape{
          {blocks, in.heads, 1}, tiles::threads, device::diagonal_memory<tiles>::shared_bytes},
      table_gradient_kernel<Element, tiles>,
      view,
      table);
  launch(launch_shape{{(size + 127) / 128, 1, 1}, 128, 0}, sum_tables_kernel, table, blocks, size);
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
