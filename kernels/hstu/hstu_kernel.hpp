#pragma once

#include "kernels/attention/attention_kernel.hpp"
#include "kernels/attention/key_gradient_kernel.hpp"
#include "kernels/attention/query_gradient_kernel.hpp"
#include "kernels/attention/table_gradient_kernel.hpp"

#include <cstdint>

/// HSTU's pointwise attention on matrix units: attention's kernels with SiLU for softmax. No online
/// rescaling and nothing saved for backward; weights are rounded before they are divided by n.
namespace headrace::kernels {

/// hstu_args for a kernel: `attention` with kv_heads = heads, no slopes, no gates and no lse;
/// value_dim = head_dim.
struct hstu_view {
  attention_view attention;
  float normaliser = 0;  // 0: the length of each sequence
};
struct hstu_backward_view {
  attention_backward_view attention;  // no dots
  float normaliser = 0;
};

namespace device {

/// 1 / n of a sequence that is not empty.
HEADRACE_DEVICE float share_of(const sequence_tile& tile, float normaliser) {
  return 1.0F / (normaliser == 0.0F ? static_cast<float>(tile.length) : normaliser);
}

HEADRACE_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + exp2_flushed(-log2_e * x)); }

/// What no query sees: finite, so that SiLU and its slope are 0 there, not NaN.
inline constexpr float far_below = -1e30F;

/// The weights of forward, as running_softmax has them.
struct silu_weights {
  static constexpr float unit = 1.0F;
  static constexpr float hidden = far_below;
  static constexpr bool folds = false;

  float share = 1;

  template <int strips, int eights, int out_eights>
  HEADRACE_DEVICE void take(accumulators<strips, eights>& scores,
                            accumulators<strips, out_eights>&,
                            float) const {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int n = 0; n < eights; ++n) {
        HEADRACE_UNROLL
        for (int e = 0; e < 4; ++e) scores[s][n][e] *= sigmoid(scores[s][n][e]);
      }
    }
  }
  HEADRACE_DEVICE float finish(int, int, float*) const { return share; }
};

/// SiLU for backward, as softmax_rule has it: prepared is the score itself.
struct silu_rule {
  static constexpr float unit = 1.0F;
  static constexpr float hidden = far_below;
  static constexpr bool reads_saved = false;

  HEADRACE_DEVICE static float prepare(float score, float) { return score; }
  HEADRACE_DEVICE static float weight(float score) { return score * sigmoid(score); }
  HEADRACE_DEVICE static float gradient(float score, float product, float) {
    const float s = sigmoid(score);
    return product * s * (1.0F + score * (1.0F - s));
  }
};

}  // namespace device

/// Grids and threads of these four as attention's: launch_hstu and launch_hstu_backward.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void hstu_kernel(hstu_view args) {
  using namespace device;
  const attention_view& in = args.attention;
  const sequence_tile tile = find_tile(in.offsets, in.sequences, block_index().x, Tiles::rows);
  if (tile.empty()) return;
  silu_weights weights{share_of(tile, args.normaliser)};
  attend<Element, Tiles>(in, tile, weights);
}

template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void hstu_query_gradient_kernel(hstu_backward_view args) {
  using namespace device;
  const attention_view& in = args.attention.forward;
  const sequence_tile tile = find_tile(in.offsets, in.sequences, block_index().x, Tiles::rows);
  if (tile.empty()) return;
  const float share = share_of(tile, args.normaliser);
  add_query_gradients<Element, silu_rule, Tiles>(args.attention, tile, in.scores.scale * share);
}

template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void hstu_key_gradient_kernel(hstu_backward_view args) {
  using namespace device;
  const attention_view& in = args.attention.forward;
  const sequence_tile tile = find_tile(in.offsets, in.sequences, block_index().x, Tiles::rows);
  if (tile.empty()) return;
  add_key_gradients<Element, silu_rule, Tiles>(
      args.attention, tile, share_of(tile, args.normaliser));
}

template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, 1)
void hstu_table_gradient_kernel(hstu_backward_view args, table_gradient_view to) {
  using namespace device;
  const float normaliser = args.normaliser;
  fill_table<Element, silu_rule, Tiles>(
      args.attention, to, [normaliser](const sequence_tile& tile) {
        return share_of(tile, normaliser);
      });
}

}  // namespace headrace::kernels
