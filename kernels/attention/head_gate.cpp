#include "kernels/attention/head_gate.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

template <class Value>
void check(const basic_head_gate_args<Value>& args) {
  CHECK(!args.offsets.empty());
  CHECK(args.offsets.front() == 0);
  CHECK(args.x_stride >= args.width);
  CHECK(args.weights.size() == args.width * args.heads);
  CHECK(args.means.size() == (args.offsets.size() - 1) * args.width);
  CHECK(args.scores.size() == (args.offsets.size() - 1) * args.heads);
  CHECK(args.active.size() == args.scores.size());
}

/// Columns that are summed in one pass over a sequence, so that its rows are read as they lie.
constexpr std::size_t pass_columns = 16;

/// Calls work(first, count) for passes over all columns.
template <class Work>
void for_each_pass(std::size_t width, const Work& work) {
  for (std::size_t first = 0; first < width; first += pass_columns)
    work(first, std::min(pass_columns, width - first));
}

using column_sums = std::array<double, pass_columns>;

/// Adds the columns of `rows` rows. A known number of columns is what the compiler needs to take
/// several at once. Measured: 6,400 x 64 floats in 0.17 ms, 0.20 without, 0.55 column by column.
template <class Value>
void add_rows(
    const Value* row, std::size_t stride, std::size_t rows, std::size_t count, column_sums& sums) {
  for (std::size_t t = 0; t < rows; ++t, row += stride) {
    if (count == pass_columns) {
      for (std::size_t c = 0; c < pass_columns; ++c) sums[c] += static_cast<double>(row[c]);
    } else {
      for (std::size_t c = 0; c < count; ++c) sums[c] += static_cast<double>(row[c]);
    }
  }
}

template <class Value>
void write_means(const basic_head_gate_args<Value>& args, std::size_t s) {
  const std::size_t first = args.offsets[s];
  const std::size_t rows = args.offsets[s + 1] - first;
  const double length = rows == 0 ? 1.0 : static_cast<double>(rows);
  for_each_pass(args.width, [&](std::size_t column, std::size_t count) {
    column_sums sums = {};
    add_rows(args.x + first * args.x_stride + column, args.x_stride, rows, count, sums);
    for (std::size_t c = 0; c < count; ++c)
      args.means[s * args.width + column + c] = static_cast<Value>(sums[c] / length);
  });
}

template <class Value>
double score(const basic_head_gate_args<Value>& args, std::size_t s, std::size_t head) {
  double z = 0.0;
  for (std::size_t c = 0; c < args.width; ++c) {
    z += static_cast<double>(args.means[s * args.width + c]) *
         static_cast<double>(args.weights[c * args.heads + head]);
  }
  const double e = std::exp(-std::abs(z));
  return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}

/// How far the share of active pairs is above the target; 0 without pairs.
template <class Value>
double excess(const basic_head_gate_args<Value>& args) {
  if (args.active.empty()) return 0.0;
  const auto n = std::ranges::count_if(args.active, [](std::uint8_t a) { return a != 0; });
  return static_cast<double>(n) / static_cast<double>(args.active.size()) -
         static_cast<double>(args.target);
}

template <class Value>
double forward(const basic_head_gate_args<Value>& args) {
  check(args);
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    write_means(args, s);
    for (std::size_t h = 0; h < args.heads; ++h) {
      const std::size_t at = s * args.heads + h;
      args.scores[at] = static_cast<Value>(score(args, s, h));
      args.active[at] = args.scores[at] > args.threshold ? 1 : 0;
    }
  }
  return static_cast<double>(args.strength) * excess(args) * excess(args);
}

/// dz of one pair.
template <class Value>
double logit_gradient(const basic_head_gate_backward_args<Value>& args,
                      std::size_t at,
                      double penalty_gradient) {
  const double score = static_cast<double>(args.forward.scores[at]);
  const double given =
      args.gate_gradients.empty() ? 0.0 : static_cast<double>(args.gate_gradients[at]);
  return (given + penalty_gradient) * score * (1.0 - score);
}

/// dx of the sequence's tokens: one row, as often as there are tokens.
template <class Value>
void write_dx(const basic_head_gate_backward_args<Value>& args,
              std::size_t s,
              double penalty_gradient) {
  const basic_head_gate_args<Value>& in = args.forward;
  const double length = static_cast<double>(in.offsets[s + 1] - in.offsets[s]);
  for_each_pass(in.width, [&](std::size_t column, std::size_t count) {
    std::array<Value, pass_columns> row = {};
    for (std::size_t c = 0; c < count; ++c) {
      double sum = 0.0;
      for (std::size_t h = 0; h < in.heads; ++h) {
        sum += static_cast<double>(in.weights[(column + c) * in.heads + h]) *
               logit_gradient(args, s * in.heads + h, penalty_gradient);
      }
      row[c] = static_cast<Value>(sum / length);
    }
    for (std::size_t t = in.offsets[s]; t < in.offsets[s + 1]; ++t)
      std::copy_n(row.begin(), count, args.dx + t * args.dx_stride + column);
  });
}

template <class Value>
void backward(const basic_head_gate_backward_args<Value>& args) {
  const basic_head_gate_args<Value>& in = args.forward;
  check(in);
  CHECK(args.gate_gradients.empty() || args.gate_gradients.size() == in.scores.size());
  CHECK(args.weight_gradients.size() == in.weights.size());
  CHECK(args.dx_stride >= in.width);
  const std::size_t sequences = in.offsets.size() - 1;
  const double pairs = static_cast<double>(std::max<std::size_t>(in.scores.size(), 1));
  const double penalty_gradient = 2.0 * static_cast<double>(in.strength) * excess(in) / pairs;
  for (std::size_t c = 0; c < in.width; ++c) {
    for (std::size_t h = 0; h < in.heads; ++h) {
      Value& gradient = args.weight_gradients[c * in.heads + h];
      double sum = static_cast<double>(gradient);
      for (std::size_t s = 0; s < sequences; ++s) {
        sum += static_cast<double>(in.means[s * in.width + c]) *
               logit_gradient(args, s * in.heads + h, penalty_gradient);
      }
      gradient = static_cast<Value>(sum);
    }
  }
  for (std::size_t s = 0; s < sequences; ++s) write_dx(args, s, penalty_gradient);
}

}  // namespace

double head_gate(const head_gate_args& args) { return forward(args); }
double head_gate(const basic_head_gate_args<double>& args) { return forward(args); }
void head_gate_backward(const head_gate_backward_args& args) { backward(args); }
void head_gate_backward(const basic_head_gate_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
