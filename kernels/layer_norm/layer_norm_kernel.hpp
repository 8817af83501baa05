#pragma once

#include "kernels/runtime/column_sums_kernel.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>

/// LayerNorm and RMSNorm on a device (layer_norm.hpp has the maths). A team has a row in registers,
/// so each value is read once.
namespace headrace::kernels::device {

struct layer_norm_forward_view {
  const float* x;         // [rows, dim]
  const float* residual;  // [rows, dim], or null
  const float* gain;      // [dim]
  const float* bias;      // [dim], or null
  float* sum;             // [rows, dim], or null without residual
  float* y;               // [rows, dim]
  float* mean;            // [rows], or null: rms
  float* rstd;            // [rows]
  std::uint32_t rows;
  std::uint32_t dim;
  float epsilon;
  bool aligned;  // every row starts at a multiple of 16 bytes, dim is a multiple of 4
};

/// s = x + residual of a row, which is stored where there is a residual.
template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE void load_summed(const layer_norm_forward_view& view,
                                 std::size_t row,
                                 const row_part<Team>& part,
                                 four_floats (&s)[Steps]) {
  const std::size_t at = row * view.dim;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) s[i] = part.load(view.x + at, i);
  if (view.residual == nullptr) return;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const four_floats more = part.load(view.residual + at, i);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) s[i].v[j] += more.v[j];
    part.store(view.sum + at, i, s[i]);
  }
}

template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE float row_mean(const row_part<Team>& part,
                               const four_floats (&s)[Steps],
                               float* scratch) {
  float sum = 0.0F;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) sum += s[i].v[j];
  }
  return team_sum<Team>(sum, scratch) / static_cast<float>(part.dim);
}

template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE float row_variance(const row_part<Team>& part,
                                   const four_floats (&s)[Steps],
                                   float mean,
                                   float* scratch) {
  float sum = 0.0F;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      const float off = part.column(i) + j < part.dim ? s[i].v[j] - mean : 0.0F;
      sum += off * off;
    }
  }
  return team_sum<Team>(sum, scratch) / static_cast<float>(part.dim);
}

template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE void store_normalized(const layer_norm_forward_view& view,
                                      std::size_t row,
                                      const row_part<Team>& part,
                                      const four_floats (&s)[Steps],
                                      float mean,
                                      float rstd) {
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const four_floats gain = part.load(view.gain, i);
    four_floats y = {{0.0F, 0.0F, 0.0F, 0.0F}};
    if (view.bias != nullptr) y = part.load(view.bias, i);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) y.v[j] += (s[i].v[j] - mean) * rstd * gain.v[j];
    part.store(view.y + row * view.dim, i, y);
  }
}

/// A row a team: Team * Steps * 4 >= dim. Shared: Team / 32 floats.
template <unsigned Team, unsigned Steps>
HEADRACE_KERNEL_OF((Team == 32 ? 256 : Team), 1)
void layer_norm_forward_kernel(layer_norm_forward_view view) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const std::size_t row = team_index<Team>();
  if (row >= view.rows) return;
  const row_part<Team> part = {view.dim, view.aligned};
  four_floats s[Steps];
  load_summed<Team, Steps>(view, row, part, s);
  const float mean = view.mean == nullptr ? 0.0F : row_mean<Team, Steps>(part, s, scratch);
  const float variance = row_variance<Team, Steps>(part, s, mean, scratch);
  const float rstd = 1.0F / sqrt(variance + view.epsilon);
  store_normalized<Team, Steps>(view, row, part, s, mean, rstd);
  if (part.column(0) != 0) return;
  if (view.mean != nullptr) view.mean[row] = mean;
  view.rstd[row] = rstd;
}

struct layer_norm_backward_view {
  const float* sum;            // [rows, dim]
  const float* gain;           // [dim]
  const float* mean;           // [rows], or null: rms
  const float* rstd;           // [rows]
  const float* y_gradients;    // [rows, dim]
  const float* sum_gradients;  // [rows, dim], or null
  float* x_gradients;          // [rows, dim]
  float* gain_partials;        // [teams, dim]
  float* bias_partials;        // [teams, dim], or null: rms
  std::uint32_t rows;
  std::uint32_t dim;
  bool aligned;
};

/// What a team knows of its row in backward.
struct norm_row {
  std::size_t at;
  float mean;
  float rstd;
};

/// Averages over the row of g and of g * xhat, g = dy * gain; dy xhat and dy are added to the
/// team's own sums for the parameters.
template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE void take_row(const layer_norm_backward_view& view,
                              const norm_row& row,
                              const row_part<Team>& part,
                              float* scratch,
                              four_floats (&gain_sums)[Steps],
                              four_floats (&bias_sums)[Steps],
                              float (&averages)[2]) {
  float g_sum = 0.0F;
  float gx_sum = 0.0F;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const four_floats s = part.load(view.sum + row.at, i);
    const four_floats dy = part.load(view.y_gradients + row.at, i);
    const four_floats gain = part.load(view.gain, i);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      const float xhat = (s.v[j] - row.mean) * row.rstd;
      const float g = dy.v[j] * gain.v[j];
      g_sum += g;
      gx_sum += g * xhat;
      gain_sums[i].v[j] += dy.v[j] * xhat;
      bias_sums[i].v[j] += dy.v[j];
    }
  }
  const auto n = static_cast<float>(view.dim);
  averages[0] = view.mean == nullptr ? 0.0F : team_sum<Team>(g_sum, scratch) / n;
  averages[1] = team_sum<Team>(gx_sum, scratch) / n;
}

/// dx of a row; what take_row read is read again, now from a near cache.
template <unsigned Team, unsigned Steps>
HEADRACE_DEVICE void store_row_gradient(const layer_norm_backward_view& view,
                                        const norm_row& row,
                                        const row_part<Team>& part,
                                        const float (&averages)[2]) {
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const four_floats s = part.load(view.sum + row.at, i);
    const four_floats dy = part.load(view.y_gradients + row.at, i);
    const four_floats gain = part.load(view.gain, i);
    four_floats dx = {{0.0F, 0.0F, 0.0F, 0.0F}};
    if (view.sum_gradients != nullptr) dx = part.load(view.sum_gradients + row.at, i);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      const float xhat = (s.v[j] - row.mean) * row.rstd;
      dx.v[j] += row.rstd * (dy.v[j] * gain.v[j] - averages[0] - xhat * averages[1]);
    }
    part.store(view.x_gradients + row.at, i, dx);
  }
}

/// First phase: team t has the rows t, t + teams, … and leaves its sums of the parameters'
/// gradients in row t of the partials; column_sums_kernel adds those up. Shared: Team / 32 floats.
template <unsigned Team, unsigned Steps>
HEADRACE_KERNEL_OF((Team == 32 ? 256 : Team), 1)
void layer_norm_backward_kernel(layer_norm_backward_view view) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const row_part<Team> part = {view.dim, view.aligned};
  four_floats gain_sums[Steps] = {};
  four_floats bias_sums[Steps] = {};
  const std::size_t team = team_index<Team>();
  for (std::size_t r = team; r < view.rows; r += team_count<Team>()) {
    const norm_row row = {r * view.dim, view.mean == nullptr ? 0.0F : view.mean[r], view.rstd[r]};
    float averages[2];
    take_row<Team, Steps>(view, row, part, scratch, gain_sums, bias_sums, averages);
    store_row_gradient<Team, Steps>(view, row, part, averages);
  }
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    part.store(view.gain_partials + team * view.dim, i, gain_sums[i]);
    if (view.bias_partials != nullptr) {
      part.store(view.bias_partials + team * view.dim, i, bias_sums[i]);
    }
  }
}

}  // namespace headrace::kernels::device
