#include "base/check.hpp"
#include "kernels/gather_pool/gather_pool.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

double weight_at(std::span<const float> weights, std::size_t i) {
  return weights.empty() ? 1.0 : static_cast<double>(weights[i]);
}

}  // namespace

void gather_pool_ref(const gather_pool_args& args) {
  const std::size_t bags = args.offsets.size() - 1;
  CHECK(args.out.size() == bags * args.dim);
  for (std::size_t b = 0; b < bags; ++b) {
    for (std::size_t c = 0; c < args.dim; ++c) {
      double sum = 0.0;
      for (std::size_t i = args.offsets[b]; i < args.offsets[b + 1]; ++i) {
        sum += weight_at(args.weights, i) *
               static_cast<double>(args.rows[args.inverse[i] * args.dim + c]);
      }
      args.out[b * args.dim + c] = static_cast<float>(sum);
    }
  }
}

void gather_pool_backward_ref(const gather_pool_backward_args& args) {
  std::vector<double> sums(args.row_gradients.begin(), args.row_gradients.end());
  for (std::size_t b = 0; b + 1 < args.offsets.size(); ++b) {
    for (std::size_t i = args.offsets[b]; i < args.offsets[b + 1]; ++i) {
      for (std::size_t c = 0; c < args.dim; ++c) {
        sums[args.inverse[i] * args.dim + c] +=
            weight_at(args.weights, i) * static_cast<double>(args.out_gradients[b * args.dim + c]);
      }
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) args.row_gradients[i] = static_cast<float>(sums[i]);
}

void gather_pool_weights_ref(const gather_pool_weights_args& args) {
  for (std::size_t b = 0; b + 1 < args.offsets.size(); ++b) {
    for (std::size_t i = args.offsets[b]; i < args.offsets[b + 1]; ++i) {
      double sum = 0.0;
      for (std::size_t c = 0; c < args.dim; ++c) {
        sum += static_cast<double>(args.rows[args.inverse[i] * args.dim + c]) *
               static_cast<double>(args.out_gradients[b * args.dim + c]);
      }
      args.weight_gradients[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace headrace::kernels
