#pragma once

#include "kernels/runtime/row_formats.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

/// The row optimizers on a device (sparse_update.hpp has the maths): a team of lanes a row, four
/// columns a lane, each row read and written once. The bits of the CPU: every operation rounded on
/// its own, so the CUDA file is compiled without fused multiply-add.
namespace headrace::kernels::device {

/// beta^(2^k) for k = 0 … 31, as power_table (step_factors.hpp) has them.
struct power_squares {
  double at[32];
};

struct sparse_update_view {
  float* table;  // row r begins at table + r * row_stride
  std::uint64_t row_stride;
  float* states;  // its state at states + r * state_stride
  std::uint64_t state_stride;
  const std::uint32_t* index;   // [rows], pairwise different
  const void* gradients;        // [rows, dim] in `format`
  const std::uint16_t* scales;  // [rows] for int8
  std::uint32_t rows;
  std::uint32_t dim;
  std::uint32_t first_columns;
  value_format format;
  bool vectors;  // rows, states and gradients can be moved in fours
  float rate;
  float first_rate;
  float l2;
  float clip;
  float momentum;
  float beta1;
  float beta2;
  float weight_decay;
  float ftrl_l1;
  float ftrl_l2;
  float ftrl_beta;
  power_squares first_powers;   // of beta1
  power_squares second_powers;  // of beta2
};

/// min(max(x, -bound), bound).
HEADRACE_DEVICE float limited(float x, float bound) {
  const float above = x < -bound ? -bound : x;
  return bound < above ? bound : above;
}
HEADRACE_DEVICE float at_most(float x, float bound) { return bound < x ? bound : x; }

/// Finite, clipped, with weight decay.
HEADRACE_DEVICE float shaped(const sparse_update_view& view, float g, float w) {
  if (!(magnitude(g) <= std::numeric_limits<float>::max())) g = 0.0F;
  if (view.clip > 0.0F) g = limited(g, view.clip);
  if (view.l2 != 0.0F) g = g + view.l2 * w;
  return limited(g, weight_max);
}

HEADRACE_DEVICE double power(const power_squares& squares, std::uint32_t n) {
  double product = 1.0;
  for (unsigned k = 0; n != 0; ++k, n >>= 1) {
    if ((n & 1U) != 0) product = product * squares.at[k];
  }
  return product;
}

HEADRACE_DEVICE float limited_to_float(double x) {
  constexpr double largest = std::numeric_limits<float>::max();
  const double above = x < -largest ? -largest : x;
  return static_cast<float>(largest < above ? largest : above);
}

/// What the columns of a row have in common: rates of columns below first_columns, and of the rest.
struct row_rates {
  float first;
  float rest;
  float epsilon;  // adam: e
};

/// r and e of adam after `steps` steps.
HEADRACE_DEVICE row_rates adam_rates(const sparse_update_view& view, std::uint32_t steps) {
  const double root = ::sqrt(1.0 - power(view.second_powers, steps));
  const double factor = root / (1.0 - power(view.first_powers, steps));
  return {limited_to_float(static_cast<double>(view.first_rate) * factor),
          limited_to_float(static_cast<double>(view.rate) * factor),
          static_cast<float>(static_cast<double>(adam_epsilon) * root)};
}

/// The weights, and the two values of state a column may have (m, a or z; v or n).
struct column_state {
  four_columns weight;
  four_columns first;
  four_columns second;
};

constexpr bool has_first(update_rule rule) {
  return rule == update_rule::adagrad || rule == update_rule::momentum ||
         rule == update_rule::adam || rule == update_rule::adamw || rule == update_rule::ftrl;
}
constexpr bool has_second(update_rule rule) {
  return rule == update_rule::adam || rule == update_rule::adamw || rule == update_rule::ftrl;
}
constexpr bool has_steps(update_rule rule) {
  return rule == update_rule::adam || rule == update_rule::adamw;
}

HEADRACE_DEVICE float ftrl_step(
    const sparse_update_view& view, float w, float g, float& z, float& n, float rate) {
  const float inverse = at_most(1.0F / rate, std::numeric_limits<float>::max());
  const float before = sqrt(n);
  n = at_most(n + g * g, weight_max);
  const float root = sqrt(n);
  const float sigma = at_most((root - before) * inverse, weight_max);
  z = limited((z + g) - sigma * w, weight_max);
  if (magnitude(z) <= view.ftrl_l1) return 0.0F;
  const float spread = (view.ftrl_beta + root) * inverse + view.ftrl_l2;
  constexpr float least = std::numeric_limits<float>::min();
  return (::copysignf(view.ftrl_l1, z) - z) / (spread < least ? least : spread);
}

/// The weight after one step; a and b are its state. `rate` and `factor` are the settings' rate of
/// the column and the row's own (row_rates), where the rule has one.
template <update_rule Rule>
HEADRACE_DEVICE float stepped(const sparse_update_view& view,
                              float w,
                              float g,
                              float& a,
                              float& b,
                              float rate,
                              float factor,
                              float epsilon) {
  if constexpr (Rule == update_rule::add) return w + g;
  if constexpr (Rule == update_rule::sgd) return w - rate * g;
  if constexpr (Rule == update_rule::rowwise_adagrad) return w - factor * g;
  if constexpr (Rule == update_rule::adagrad) {
    a = at_most(a + g * g, weight_max);
    return w - (rate * g) / (sqrt(a) + adagrad_epsilon);
  }
  if constexpr (Rule == update_rule::momentum) {
    a = limited(view.momentum * a + g, weight_max);
    return w - rate * a;
  }
  if constexpr (has_steps(Rule)) {
    if constexpr (Rule == update_rule::adamw) {
      w = limited(w - (rate * view.weight_decay) * w, weight_max);
    }
    a = limited(view.beta1 * a + (1.0F - view.beta1) * g, weight_max);
    b = at_most(view.beta2 * b + (1.0F - view.beta2) * (g * g), weight_max);
    return w - (factor * a) / (sqrt(b) + epsilon);
  }
  if constexpr (Rule == update_rule::ftrl) return ftrl_step(view, w, g, a, b, rate);
}

/// Where one row lies, and its gradient.
struct row_at {
  float* weights;
  float* state;
  const std::byte* gradients;
  float scale;
  std::uint32_t width;  // dim; 0 for teams beyond the last row
};

HEADRACE_DEVICE row_at find_row(const sparse_update_view& view, std::uint64_t row) {
  if (row >= view.rows) return {view.table, view.states, nullptr, 0.0F, 0};
  const std::uint64_t at = view.index[row];
  const bool coded = view.format == value_format::int8;
  return {view.table + at * view.row_stride,
          view.states + at * view.state_stride,
          static_cast<const std::byte*>(view.gradients) + row * view.dim * value_bytes(view.format),
          coded ? half_to_float(view.scales[row]) : 0.0F,
          view.dim};
}

/// Sum of squares of the shaped gradients in 16 lanes, column c in lane c mod 16, then 8, 4, 2, 1
/// apart; valid in the first lane of the team, which has 16 lanes at least.
HEADRACE_DEVICE float squares_of_row(const sparse_update_view& view,
                                     const row_at& row,
                                     unsigned member) {
  float sum = 0.0F;
  if (member < 16) {
    for (std::uint32_t c = member; c < row.width; c += 16) {
      const four_columns g = load_formatted(view.format, row.gradients, row.scale, c, c + 1, false);
      const float shape = shaped(view, g.at[0], row.weights[c]);
      sum = sum + shape * shape;
    }
  }
  for (unsigned step = 8; step > 0; step /= 2) sum = sum + shuffle_down(sum, step);
  return sum;
}

/// f of rowwise_adagrad for both rates; the first lane of the team moves the accumulator.
HEADRACE_DEVICE row_rates rowwise_rates(const sparse_update_view& view,
                                        const row_at& row,
                                        unsigned member) {
  const float squares = squares_of_row(view, row, member);
  float spread = 1.0F;
  if (member == 0 && row.width != 0) {
    const float sum = at_most(*row.state + squares / static_cast<float>(view.dim), weight_max);
    *row.state = sum;
    spread = sqrt(sum) + adagrad_epsilon;
  }
  spread = shuffle(spread, lane() - member);
  constexpr float largest = std::numeric_limits<float>::max();
  return {limited(view.first_rate / spread, largest), limited(view.rate / spread, largest), 0.0F};
}

/// One more step in the word that counts a row's; the first lane of the team moves it.
HEADRACE_DEVICE row_rates stepped_rates(const sparse_update_view& view,
                                        const row_at& row,
                                        unsigned member) {
  std::uint32_t steps = 0;
  if (member == 0 && row.width != 0) {
    float* word = row.state + 2 * std::uint64_t{view.dim};
    steps = std::bit_cast<std::uint32_t>(*word);
    steps += steps < std::numeric_limits<std::uint32_t>::max() ? 1U : 0U;
    *word = std::bit_cast<float>(steps);
  }
  return adam_rates(view, shuffle(steps, lane() - member));
}

template <update_rule Rule>
HEADRACE_DEVICE column_state load_state(const sparse_update_view& view,
                                        const row_at& row,
                                        std::uint32_t c) {
  column_state of{};
  of.weight = load_columns(row.weights, c, row.width, view.vectors);
  if constexpr (has_first(Rule)) {
    of.first = load_columns(row.state, c, row.width, view.vectors);
  }
  if constexpr (has_second(Rule)) {
    of.second = load_columns(row.state + view.dim, c, row.width, view.vectors);
  }
  return of;
}

template <update_rule Rule>
HEADRACE_DEVICE void store_state(const sparse_update_view& view,
                                 const row_at& row,
                                 std::uint32_t c,
                                 const column_state& of) {
  store_columns(row.weights, c, row.width, view.vectors, of.weight);
  if constexpr (has_first(Rule)) {
    store_columns(row.state, c, row.width, view.vectors, of.first);
  }
  if constexpr (has_second(Rule)) {
    store_columns(row.state + view.dim, c, row.width, view.vectors, of.second);
  }
}

/// Lanes of a team: rowwise_adagrad's sum has 16 lanes whatever dim is.
HEADRACE_BOTH unsigned update_lanes(update_rule rule, std::uint32_t dim) {
  const unsigned lanes = team_lanes(dim);
  return rule == update_rule::rowwise_adagrad && lanes < 16 ? 16 : lanes;
}

template <update_rule Rule>
HEADRACE_KERNEL void sparse_update_kernel(sparse_update_view view) {
  const unsigned lanes = update_lanes(Rule, view.dim);
  const unsigned member = thread_index() % lanes;
  const row_at row = find_row(view, team_row(lanes));
  row_rates rates = {0.0F, 0.0F, 0.0F};
  if constexpr (Rule == update_rule::rowwise_adagrad) rates = rowwise_rates(view, row, member);
  if constexpr (has_steps(Rule)) rates = stepped_rates(view, row, member);
  for (std::uint32_t c = first_column(lanes); c < row.width; c += lanes * columns_a_lane) {
    column_state of = load_state<Rule>(view, row, c);
    const four_columns g =
        load_formatted(view.format, row.gradients, row.scale, c, row.width, view.vectors);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < columns_a_lane; ++j) {
      const bool first = c + j < view.first_columns;
      float& w = of.weight.at[j];
      const float next = stepped<Rule>(view,
                                       w,
                                       shaped(view, g.at[j], w),
                                       of.first.at[j],
                                       of.second.at[j],
                                       first ? view.first_rate : view.rate,
                                       first ? rates.first : rates.rest,
                                       rates.epsilon);
      w = limited(next, weight_max);
    }
    store_state<Rule>(view, row, c, of);
  }
}

}  // namespace headrace::kernels::device
