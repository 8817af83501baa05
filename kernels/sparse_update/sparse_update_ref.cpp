#include "base/check.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/sparse_update/step_factors.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

float limited(float x, float bound) { return std::min(std::max(x, -bound), bound); }

float raw_gradient(const sparse_update_args& args, std::size_t row, std::size_t column) {
  const std::size_t at = row * args.dim + column;
  if (!args.codes.empty()) {
    return static_cast<float>(args.codes[at]) * half_to_float(args.scales[row]);
  }
  if (!args.halves.empty()) return half_to_float(args.halves[at]);
  if (!args.brains.empty()) return brain_to_float(args.brains[at]);
  return args.gradients[at];
}

/// One row on its way: in float on purpose, since here the definition is the rounding, too.
class row_step {
 public:
  row_step(const sparse_update_args& args, std::size_t row)
      : args_(args),
        row_(row),
        weights_(args.rows[row]),
        state_(args.states.empty() ? args.rows[row] + args.dim : args.states[row]) {}

  void run() {
    if (args_.rule == update_rule::rowwise_adagrad) prepare_rowwise();
    if (args_.rule == update_rule::adam || args_.rule == update_rule::adamw) prepare_adam();
    for (std::size_t c = 0; c < args_.dim; ++c) {
      const float g = gradient(c);
      weights_[c] = limited(stepped(c, g), weight_max);
    }
  }

 private:
  bool is_first(std::size_t c) const { return c < args_.first_columns; }
  float rate(std::size_t c) const { return is_first(c) ? args_.first_rate : args_.rate; }

  float gradient(std::size_t c) const {
    float g = raw_gradient(args_, row_, c);
    if (!std::isfinite(g)) g = 0.0F;
    if (args_.clip > 0.0F) g = limited(g, args_.clip);
    if (args_.l2 != 0.0F) g = g + args_.l2 * weights_[c];
    return limited(g, weight_max);
  }

  void prepare_rowwise() {
    std::array<float, 16> lanes{};
    for (std::size_t c = 0; c < args_.dim; ++c) {
      const float g = gradient(c);
      lanes[c % 16] = lanes[c % 16] + g * g;
    }
    spread_ = rowwise_spread(state_, lanes_summed(lanes), args_.dim);
  }

  void prepare_adam() {
    const std::uint32_t steps = next_step(state_ + 2 * args_.dim);
    adam_ = adam_correction(args_).at(steps);
  }

  float stepped(std::size_t c, float g) {
    const float w = weights_[c];
    switch (args_.rule) {
      case update_rule::add:
        return w + g;
      case update_rule::sgd:
        return w - rate(c) * g;
      case update_rule::adagrad:
        state_[c] = std::min(state_[c] + g * g, weight_max);
        return w - (rate(c) * g) / (std::sqrt(state_[c]) + adagrad_epsilon);
      case update_rule::momentum:
        state_[c] = limited(args_.momentum * state_[c] + g, weight_max);
        return w - rate(c) * state_[c];
      case update_rule::rowwise_adagrad:
        return w - rowwise_factor(rate(c), spread_) * g;
      case update_rule::adam:
        return adam(c, w, g);
      case update_rule::adamw:
        return adam(c, limited(w - (rate(c) * args_.weight_decay) * w, weight_max), g);
      case update_rule::ftrl:
        return ftrl(c, w, g);
    }
    return w;
  }

  float adam(std::size_t c, float w, float g) {
    float& m = state_[c];
    float& v = state_[args_.dim + c];
    m = limited(args_.beta1 * m + (1.0F - args_.beta1) * g, weight_max);
    v = std::min(args_.beta2 * v + (1.0F - args_.beta2) * (g * g), weight_max);
    const adam_factors factors = adam_[is_first(c) ? 0 : 1];
    return w - (factors.rate * m) / (std::sqrt(v) + factors.epsilon);
  }

  float ftrl(std::size_t c, float w, float g) {
    float& z = state_[c];
    float& n = state_[args_.dim + c];
    const float inverse = inverse_rate(rate(c));
    const float before = std::sqrt(n);
    n = std::min(n + g * g, weight_max);
    const float sigma = std::min((std::sqrt(n) - before) * inverse, weight_max);
    z = limited((z + g) - sigma * w, weight_max);
    if (std::abs(z) <= args_.ftrl_l1) return 0.0F;
    const float spread = (args_.ftrl_beta + std::sqrt(n)) * inverse + args_.ftrl_l2;
    return (std::copysign(args_.ftrl_l1, z) - z) /
           std::max(spread, std::numeric_limits<float>::min());
  }

  const sparse_update_args& args_;
  std::size_t row_;
  float* weights_;
  float* state_;
  float spread_ = 0.0F;
  std::array<adam_factors, 2> adam_{};
};

}  // namespace

void sparse_update_ref(const sparse_update_args& args) {
  CHECK(args.states.empty() || args.states.size() == args.rows.size());
  for (std::size_t r = 0; r < args.rows.size(); ++r) row_step(args, r).run();
}

}  // namespace headrace::kernels
