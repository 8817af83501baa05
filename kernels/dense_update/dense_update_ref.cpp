#include "base/check.hpp"
#include "kernels/dense_update/dense_update.hpp"
#include "kernels/runtime/half.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {

float dense_gradient_factor(const dense_step& step, const dense_gradients_seen& seen) {
  const double norm = std::sqrt(seen.squares);
  if (step.norm_max <= 0.0F || norm <= static_cast<double>(step.norm_max)) return 1.0F;
  return static_cast<float>(static_cast<double>(step.norm_max) / norm);
}

void dense_update_ref(const dense_update_args& args) {
  if (!args.seen.finite) return;
  const float factor = dense_gradient_factor(args.step, args.seen);
  for (const dense_tensor& tensor : args.tensors) {
    std::vector<float> gradients;
    for (const float g : args.gradients.subspan(tensor.begin, tensor.size)) {
      const float unscaled = g * args.seen.inverse;
      gradients.push_back(factor == 1.0F ? unscaled : unscaled * factor);
    }
    float* row = args.weights.data() + tensor.begin;
    float* state = args.state.data() + tensor.state_begin;
    sparse_update_ref({.rows = {&row, 1},
                       .states = {&state, 1},
                       .dim = tensor.size,
                       .gradients = gradients,
                       .rule = args.step.rule,
                       .rate = tensor.rate,
                       .l2 = tensor.l2,
                       .clip = args.step.clip,
                       .momentum = args.step.momentum,
                       .beta1 = args.step.beta1,
                       .beta2 = args.step.beta2,
                       .weight_decay = tensor.weight_decay});
    for (std::size_t i = 0; i < tensor.size && !args.brains.empty(); ++i) {
      args.brains[tensor.begin + i] = brain_nearest(row[i]);
    }
  }
}

}  // namespace headrace::kernels
