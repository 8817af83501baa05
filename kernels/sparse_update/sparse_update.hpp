#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Numbers equal schemas::optimizer_kind.
enum class update_rule : std::uint8_t {
  add = 0,
  sgd = 1,
  adagrad = 2,
  momentum = 3,
  rowwise_adagrad = 4,
  adam = 5,
  adamw = 6,
  ftrl = 7,
};

/// Magnitude no weight and no state ever exceeds: table values are always finite. Chosen so that
/// a dot product of a few hundred such values overflows to infinity visibly, a single one never.
constexpr float weight_max = 1e30F;
constexpr float adagrad_epsilon = 1e-8F;
constexpr float adam_epsilon = 1e-8F;

/// 32-bit words of optimizer state that a row of `dim` weights keeps:
/// momentum m[dim]; adagrad a[dim]; rowwise_adagrad a; adam and adamw m[dim], v[dim], steps (u32
/// bits); ftrl z[dim], n[dim].
constexpr std::size_t state_words(update_rule rule, std::size_t dim) {
  switch (rule) {
    case update_rule::add:
    case update_rule::sgd:
      return 0;
    case update_rule::adagrad:
    case update_rule::momentum:
      return dim;
    case update_rule::rowwise_adagrad:
      return 1;
    case update_rule::adam:
    case update_rule::adamw:
      return 2 * dim + 1;
    case update_rule::ftrl:
      return 2 * dim;
  }
  return 0;
}

/// One optimizer step on rows of a table, fused with dequantization, clip and clamp.
///
/// rows [n] pointers, pairwise different, to dim f32 weights; `states` [n] pointers to their state
/// (`state_words`), or empty where each row's state lies right behind its weights. Gradients are
/// one of: `gradients` [n, dim] f32; `codes` [n, dim] i8 with `scales` [n] fp16 bits; `halves`
/// [n, dim] fp16 bits; `brains` [n, dim] bf16 bits. For each element, in float, each operation
/// rounded on its own (no fused multiply-add), M = weight_max, |x| limited = min(max(x, -M), M):
///
///   g = gradient, or code * scale; not finite counts as 0
///   g = min(max(g, -clip), clip) if clip > 0;  g = g + l2 * w if l2 != 0;  g limited
///   add       w = w + g
///   sgd       w = w - rate * g
///   adagrad   a = min(a + g * g, M);  w = w - (rate * g) / (sqrt(a) + adagrad_epsilon)
///   momentum  m = momentum * m + g limited;  w = w - rate * m
///   rowwise   a = min(a + s / dim, M);  w = w - f * g,  f = rate / (sqrt(a) + adagrad_epsilon)
///             where s = the sum of g * g in 16 lanes (column c in lane c mod 16, ascending), then
///             lanes i and i + 8 added, i and i + 4, i and i + 2, i and i + 1
///   adam      steps = steps + 1 (stops at 2^32 - 1); m = beta1 * m + (1 - beta1) * g limited;
///             v = min(beta2 * v + (1 - beta2) * (g * g), M);
///             w = w - (r * m) / (sqrt(v) + e),  r = rate * sqrt(1 - beta2^steps) /
///             (1 - beta1^steps),  e = adam_epsilon * sqrt(1 - beta2^steps): Kingma and Ba (2015),
///             end of section 2, with epsilon where theirs is; r, e and the powers in double (the
///             powers by squaring, * only), r limited to the largest float
///   adamw     w = w - (rate * weight_decay) * w limited, then adam: decoupled, Loshchilov and
///             Hutter (2019). Lazy: neither moments nor decay move while a row is not pushed
///   ftrl      o = n;  n = min(n + g * g, M);  i = min(1 / rate, largest float);
///             z = (z + g) - min((sqrt(n) - sqrt(o)) * i, M) * w limited;
///             w = 0 if |z| <= ftrl_l1, else (sign(z) * ftrl_l1 - z) /
///             max((ftrl_beta + sqrt(n)) * i + ftrl_l2, smallest normal float): McMahan et al.
///             (2013), algorithm 1
///   w limited
/// with `first_rate` for columns below `first_columns`. Weights finite and state as above (m, z
/// finite; a, v, n in [0, M]) stay so whatever the gradients. Rates, clip, l2, momentum and
/// weight_decay are finite; betas in [0, 1); rates > 0 under ftrl, its l1, l2 and beta finite and
/// >= 0.
/// Bit-exact: reference and every CPU target give the same bits (under the thread's one float
/// mode).
struct sparse_update_args {
  std::span<float* const> rows;
  std::span<float* const> states = {};
  std::size_t dim = 1;
  std::span<const float> gradients = {};
  std::span<const std::int8_t> codes = {};
  std::span<const std::uint16_t> scales = {};
  std::span<const std::uint16_t> halves = {};
  std::span<const std::uint16_t> brains = {};
  update_rule rule = update_rule::add;
  float rate = 0.0F;
  float first_rate = 0.0F;
  std::size_t first_columns = 0;
  float l2 = 0.0F;
  float clip = 0.0F;
  float momentum = 0.0F;
  float beta1 = 0.0F;
  float beta2 = 0.0F;
  float weight_decay = 0.0F;
  float ftrl_l1 = 0.0F;
  float ftrl_l2 = 0.0F;
  float ftrl_beta = 0.0F;
};
void sparse_update_ref(const sparse_update_args& args);
/// Prefetches rows and states ahead; they may be scattered over a table of any size.
void sparse_update_cpu(const sparse_update_args& args);

inline void sparse_update(const sparse_update_args& args) { sparse_update_cpu(args); }

/// The state that rows begin with, from their first weights: accumulators (adagrad, rowwise, n of
/// ftrl) at `accumulator`, or `first_accumulator` for columns below `first_columns` (rowwise has
/// one for the row); z of ftrl such that w of the formula above is the first weight up to rounding
/// (else a row's first push would throw its initial value away); all else 0. Of `update`, reads
/// rows, states, dim, rule, rates, first_columns and ftrl_*.
struct begin_states_args {
  sparse_update_args update;
  float accumulator = 0.0F;
  float first_accumulator = 0.0F;
};
void begin_states(const begin_states_args& args);

}  // namespace headrace::kernels
