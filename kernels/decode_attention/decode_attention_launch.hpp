#pragma once

#include "kernels/attention/attention_launch.hpp"
#include "kernels/decode_attention/decode_attention_kernel.hpp"

#include <cstddef>
#include <cstdint>

/// Launch shapes of decode_attention: splits by key heads by sequences, four warps each.
namespace headrace::kernels {

/// Floats of workspace for `splits` pieces of sequences * heads rows of `dim`.
constexpr std::size_t decode_workspace(std::size_t rows, std::size_t dim, std::size_t splits) {
  return splits == 1 ? 0 : splits * rows * (dim + 1);
}

/// `workspace` has decode_workspace(sequences * heads, dim, view.splits) floats.
template <class Element, int dim, class Launch>
void launch_decode_in(decode_view view, float* workspace, const Launch& launch) {
  using tiles = decode_tiles<dim>;
  const std::size_t rows = std::size_t{view.sequences} * view.heads;
  const unsigned group = view.heads / view.kv_heads;
  view.pieces = workspace;
  if (view.splits > 1) view.piece_sums = workspace + view.splits * rows * dim;
  launch(launch_shape{{view.splits,
                       view.kv_heads * ((group + decode_heads - 1) / decode_heads),
                       view.sequences},
                      tiles::threads,
                      tiles::shared_bytes},
         decode_attention_kernel<Element, tiles>,
         view);
  if (view.splits == 1) return;
  launch(launch_shape{{static_cast<unsigned>((rows * dim + 127) / 128), 1, 1}, 128, 0},
         merge_pieces_kernel<Element, dim>,
         view);
}

template <class Element, class Launch>
void launch_decode_attention(const decode_view& view,
                             std::size_t head_dim,
                             float* workspace,
                             const Launch& launch) {
  with_head_dim(head_dim,
                [&](auto dim) { launch_decode_in<Element, dim.value>(view, workspace, launch); });
}

}  // namespace headrace::kernels
