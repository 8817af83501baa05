#pragma once

#include "kernels/dense_update/dense_tensors.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// What holds for a whole step of a dense optimizer.
struct dense_step {
  update_rule rule = update_rule::sgd;  // add, sgd, adagrad, momentum, adam or adamw
  float clip = 0.0F;                    // largest |gradient|; 0: none
  float norm_max = 0.0F;                // largest 2-norm of all gradients together; 0: none
  float momentum = 0.0F;
  float beta1 = 0.0F;
  float beta2 = 0.0F;
};

/// What a scan of a step's gradients found (O2): those were made with a loss scale of 1 / inverse.
struct dense_gradients_seen {
  bool finite = true;
  float inverse = 1.0F;  // a power of two
  double squares = 0.0;  // Σ (g inverse)², read where norm_max > 0
};

/// One optimizer step on all tensors of an arena (O1 of the kernel plan), as sparse_update would do
/// it with a row for each tensor.
///
/// Tensor t has the elements [begin, begin + size) of weights and gradients, and in `state`, from
/// state_begin on, state_words(rule, size) words as sparse_update lays them out: a row of the
/// parameter server is a tensor here. Where not `seen.finite`, nothing is written. Else each
/// gradient g becomes g * inverse, then, where norm_max > 0 and √squares > norm_max, times
/// float(norm_max / √squares); what follows are sparse_update's formulas with the tensor's rate, l2
/// and weight_decay, each operation rounded on its own. `brains` [arena] or empty: the nearest
/// bfloat16 of every weight written. Tensors overlap neither in the arena nor in the state.
/// Bit-exact: reference, CPU and CUDA give the same bits (subnormals kept).
struct dense_update_args {
  std::span<const dense_tensor> tensors;
  dense_step step;
  dense_gradients_seen seen;
  std::span<float> weights;
  std::span<const float> gradients;
  std::span<float> state;
  std::span<std::uint16_t> brains = {};
  /// The CPU's: as long as the largest tensor where gradients are multiplied, else none.
  std::span<float> workspace = {};
};
void dense_update_ref(const dense_update_args& args);
void dense_update_cpu(const dense_update_args& args);

inline void dense_update(const dense_update_args& args) { dense_update_cpu(args); }

/// Whether a dense optimizer may have the rule: rowwise_adagrad and ftrl belong to rows.
constexpr bool is_dense_rule(update_rule rule) {
  return rule != update_rule::rowwise_adagrad && rule != update_rule::ftrl;
}

/// What gradients are multiplied by.
float dense_gradient_factor(const dense_step& step, const dense_gradients_seen& seen);

}  // namespace headrace::kernels
