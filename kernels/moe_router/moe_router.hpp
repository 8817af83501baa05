#pragma once

#include "kernels/moe_router/route.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Weights of the auxiliary losses of a router; 0 leaves one out.
struct router_losses {
  double balance = 0.0;  // Σ_e E f_e pbar_e (Fedus et al., arXiv 2101.03961, eq. 4)
  double entropy = 0.0;  // Σ_e pbar_e ln pbar_e, least where the load is even
  double z = 0.0;        // average of lse² (Zoph et al., arXiv 2202.08906, eq. 5)
};

/// What a router did with a batch. The losses have their weights in.
struct router_report {
  double balance_loss = 0.0;
  double entropy_loss = 0.0;
  double z_loss = 0.0;
  double utilisation = 0.0;  // Σ_e min(n_e, C) / (E C)
  std::size_t dropped = 0;   // assignments without room
};

/// Routes each of T tokens to k of E experts, from logits: p = softmax(logits) and the k largest p
/// + bias, larger first, ties to the lower expert. The logits x W_r are a product of their own
/// (kernels/gemm, a linear layer): so are their gradients.
///
/// logits [T, E] finite; bias [E] or empty, moves the selection and nothing else
/// (balance_bias.hpp). E >= 1, 1 <= k <= E, T k < 2^32. Out: probabilities p [T, E]; lse [T] =
/// ln Σ_e e^logit; mean_probabilities [E] = pbar, averages over the tokens; chosen [T, k]; gates
/// [T, k] = p of the chosen, over their sum if `renormalised` (computed as softmax over the chosen,
/// so never 0 / 0); loads [E] = n_e, the assignments to each expert before capacity; routes [T, k]
/// = chosen, or no_expert where the assignment is dropped. An expert keeps its `capacity` largest
/// gates, ties to the lower token; 0 keeps all. A dropped assignment keeps its gate here, and has
/// no say in what follows: the other gates of the token stay as they are.
///
/// f_e = n_e / (T k), so an even load has the balance loss `balance`, and takes no gradient. C of
/// the utilisation is the capacity, or ⌈T k / E⌉ where there is none; without tokens all of the
/// report is 0. Selection works on p as written, so it is exact given p. On one target the same
/// call gives the same bits; targets differ. Bounds for floats, with z the largest |logit|, while
/// nothing underflows: p and gates (E + 16) * 2^-24 relative plus 2^-22 z; lse 2^-22 (z + 8 + E /
/// 4); mean_probabilities as p plus (256 + T / 256) * 2^-24 relative.
template <class Value>
struct basic_moe_router_args {
  std::span<const Value> logits;
  std::span<const Value> bias = {};
  std::size_t experts = 1;
  std::size_t per_token = 1;  // k
  std::size_t capacity = 0;
  bool renormalised = true;
  router_losses losses = {};
  std::span<Value> probabilities;
  std::span<Value> lse;
  std::span<Value> mean_probabilities;
  std::span<std::uint32_t> chosen;
  std::span<Value> gates;
  std::span<std::uint32_t> loads;
  std::span<std::uint32_t> routes;
  /// At least moe_router_workspace(...); the reference needs none.
  std::span<std::uint32_t> workspace = {};
};
using moe_router_args = basic_moe_router_args<float>;

/// Words of workspace: none without capacity.
constexpr std::size_t moe_router_workspace(std::size_t tokens,
                                           std::size_t experts,
                                           std::size_t per_token,
                                           std::size_t capacity) {
  return capacity == 0 ? 0 : tokens * per_token + experts;
}

router_report moe_router_ref(const moe_router_args& args);  // double accumulators
router_report moe_router_ref(const basic_moe_router_args<double>& args);
router_report moe_router_cpu(const moe_router_args& args);

inline router_report moe_router(const moe_router_args& args) { return moe_router_cpu(args); }

/// Gradient of the logits: of gate_gradients [T, k] and of the auxiliary losses.
///
/// With a_e = (balance E f_e + entropy (ln pbar_e + 1)) / T: dlogit_te = p_te (a_e − Σ_j p_tj a_j +
/// 2 z lse_t / T), plus, at the chosen, g_i (dg_i − Σ_j dg_j g_j) over the chosen; where gates are
/// not renormalised that sum is taken from all logits times p. The gradient of a dropped gate is
/// taken as 0, whatever it is. f_e and the selection are constants; pbar_e below the smallest
/// normal Value counts as that. The losses are averages over T: for a summed task loss, give
/// weights times T. The rest is as forward left it. Writes logit_gradients [T, E]. Bits as forward.
/// Bound for floats on these inputs, while nothing underflows: (2 E + 2 k + 16) * 2^-24 * (p_te
/// (A + |a_e| + |2 z lse_t / T| + G) + g_i (|dg_i| + G)), with A = Σ_j p_tj |a_j|, G = Σ_j |dg_j
/// g_j|, the last term at the chosen only.
template <class Value>
struct basic_moe_router_backward_args {
  std::size_t experts = 1;
  std::size_t per_token = 1;
  bool renormalised = true;
  router_losses losses = {};
  std::span<const Value> probabilities;
  std::span<const Value> lse;
  std::span<const Value> mean_probabilities;
  std::span<const std::uint32_t> chosen;
  std::span<const Value> gates;
  std::span<const std::uint32_t> loads;
  std::span<const std::uint32_t> routes;
  std::span<const Value> gate_gradients;
  std::span<Value> logit_gradients;
  /// At least `experts` values, for a_e; the reference needs none.
  std::span<Value> workspace = {};
};
using moe_router_backward_args = basic_moe_router_backward_args<float>;

void moe_router_backward_ref(const moe_router_backward_args& args);  // double accumulators
void moe_router_backward_ref(const basic_moe_router_backward_args<double>& args);
void moe_router_backward_cpu(const moe_router_backward_args& args);

inline void moe_router_backward(const moe_router_backward_args& args) {
  moe_router_backward_cpu(args);
}

}  // namespace headrace::kernels
