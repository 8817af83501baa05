#include "base/check.hpp"
#include "kernels/dense_update/dense_update.hpp"
#include "kernels/runtime/half.hpp"

namespace headrace::kernels {
namespace {

bool lies_within(const dense_tensor& tensor, const dense_update_args& args) {
  const std::size_t words = state_words(args.step.rule, tensor.size);
  return tensor.begin <= args.weights.size() && tensor.size <= args.weights.size() - tensor.begin &&
         tensor.state_begin <= args.state.size() && words <= args.state.size() - tensor.state_begin;
}

/// One tensor, its gradients as they are to be taken.
void update_tensor(const dense_update_args& args,
                   const dense_tensor& tensor,
                   std::span<const float> gradients) {
  float* row = args.weights.data() + tensor.begin;
  float* state = args.state.data() + tensor.state_begin;
  sparse_update_cpu({.rows = {&row, 1},
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

/// The tensor's gradients as they are to be taken: those given, or scaled ones in the workspace.
std::span<const float> scaled(const dense_update_args& args,
                              const dense_tensor& tensor,
                              float factor) {
  const auto given = args.gradients.subspan(tensor.begin, tensor.size);
  if (args.seen.inverse == 1.0F && factor == 1.0F) return given;
  CHECK(args.workspace.size() >= tensor.size);
  const auto to = args.workspace.first(tensor.size);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const float unscaled = given[i] * args.seen.inverse;
    to[i] = factor == 1.0F ? unscaled : unscaled * factor;
  }
  return to;
}

}  // namespace

void dense_update_cpu(const dense_update_args& args) {
  CHECK(is_dense_rule(args.step.rule));
  CHECK(args.gradients.size() == args.weights.size());
  CHECK(args.brains.empty() || args.brains.size() == args.weights.size());
  if (!args.seen.finite) return;
  const float factor = dense_gradient_factor(args.step, args.seen);
  for (const dense_tensor& tensor : args.tensors) {
    CHECK(lies_within(tensor, args));
    update_tensor(args, tensor, scaled(args, tensor, factor));
  }
}

}  // namespace headrace::kernels
