#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Softmax cross-entropy over one positive and sampled negatives, forward and backward in one pass.
///
/// scores s [positions, candidates]: the positive's column is positives[t] (< candidates), or 0
/// where `positives` is empty (in-batch negatives: candidates = positions, positives[t] = t).
/// log_q: empty, [candidates] for every position, or [positions, candidates]; natural logarithms of
/// the chance that the candidate is drawn. It is subtracted from the positive, too: s' = s − log_q
/// (Yi et al., RecSys'19, eq. 3). weights [positions] >= 0, or empty when all are 1; where 0 the
/// position is left out: its scores aren't read. A score of −infinity leaves a negative out (an
/// accidental hit of the positive); the positive's is finite. A NaN or +infinity gives NaN.
///
/// Out: losses [positions] = weight * −ln softmax(s')_positive; score_gradients [positions,
/// candidates] of the *summed* loss = weight * (softmax(s') − one-hot). Returns Σ losses, summed in
/// double before rounding. Bounds of the CPU version, with D = max |s'| of the position (without
/// −infinity) and u = 2^-24, while weight * p >= 2^-120: a gradient (8 D + 2 candidates + 24) u
/// relative; a loss weight * min(1, loss) * (12 D + 2 candidates + 24) u + 2 u loss. So a position
/// that is nearly right keeps its small loss and gradient.
template <class Value>
struct basic_sampled_softmax_args {
  std::span<const Value> scores;
  std::span<const Value> log_q = {};
  std::span<const Value> weights = {};
  std::span<const std::uint32_t> positives = {};
  std::size_t candidates = 0;
  std::span<Value> losses;
  std::span<Value> score_gradients;
};
using sampled_softmax_args = basic_sampled_softmax_args<float>;

double sampled_softmax_ref(const sampled_softmax_args& args);
double sampled_softmax_ref(const basic_sampled_softmax_args<double>& args);
double sampled_softmax_cpu(const sampled_softmax_args& args);

inline double sampled_softmax(const sampled_softmax_args& args) {
  return sampled_softmax_cpu(args);
}

}  // namespace headrace::kernels
