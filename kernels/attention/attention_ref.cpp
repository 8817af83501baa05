#include "kernels/attention/attention.hpp"
#include "kernels/attention/check_args.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace headrace::kernels {
namespace {

/// One head of one sequence, its scores and weights written out: [length, length].
template <class Value>
struct dense_head {
  const basic_attention_args<Value>& args;
  std::size_t sequence;
  std::size_t head;
  std::size_t first = args.offsets[sequence];
  std::size_t length = args.offsets[sequence + 1] - first;
  std::size_t kv_head = head / (args.heads / args.kv_heads);
  std::vector<double> weights = {};
  std::vector<double> log_sums = {};

  bool active() const {
    return args.active.empty() || args.active[sequence * args.heads + head] != 0;
  }
  std::size_t q_at(std::size_t stride, std::size_t i) const {
    return (first + i) * stride + head * args.head_dim;
  }
  std::size_t kv_at(std::size_t stride, std::size_t j) const {
    return (first + j) * stride + kv_head * args.head_dim;
  }
  /// Where the bias of the pair lies in the table.
  std::size_t table_at(std::size_t i, std::size_t j) const {
    const auto limit = static_cast<std::ptrdiff_t>(args.max_distance);
    const auto offset = static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i);
    return head * (2 * args.max_distance + 1) +
           static_cast<std::size_t>(std::clamp(offset, -limit, limit) + limit);
  }

  double score(std::size_t i, std::size_t j) const {
    const Value* q = args.q + q_at(args.q_stride, i);
    const Value* k = args.k + kv_at(args.k_stride, j);
    double dot = 0.0;
    for (std::size_t c = 0; c < args.head_dim; ++c)
      dot += static_cast<double>(q[c]) * static_cast<double>(k[c]);
    double result = static_cast<double>(args.scale) * dot;
    if (!args.alibi_slopes.empty()) {
      const double distance = std::abs(static_cast<double>(i) - static_cast<double>(j));
      result -= static_cast<double>(args.alibi_slopes[head]) * distance;
    }
    if (!args.bias_table.empty()) result += static_cast<double>(args.bias_table[table_at(i, j)]);
    return result;
  }

  /// The softmax of row i, in place of its scores; its log sum, -infinity where nothing is seen.
  void fill_row(std::size_t i) {
    constexpr double none = -std::numeric_limits<double>::infinity();
    double* row = weights.data() + i * length;
    double largest = none;
    for (std::size_t j = 0; j < length; ++j) {
      row[j] = sees(args.mask, i, j) ? score(i, j) : none;
      largest = std::max(largest, row[j]);
    }
    double sum = 0.0;
    for (std::size_t j = 0; j < length; ++j) {
      row[j] = row[j] == none ? 0.0 : std::exp(row[j] - largest);
      sum += row[j];
    }
    for (std::size_t j = 0; j < length && sum != 0.0; ++j) row[j] /= sum;
    log_sums[i] = sum == 0.0 ? none : largest + std::log(sum);
  }
  /// All rows; an inactive head sees nothing.
  void fill() {
    weights.assign(length * length, 0.0);
    log_sums.assign(length, -std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < length && active(); ++i) fill_row(i);
  }
};

template <class Value, class Visit>
void for_each_head(const basic_attention_args<Value>& args, const Visit& visit) {
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    for (std::size_t h = 0; h < args.heads; ++h) {
      dense_head<Value> one{.args = args, .sequence = s, .head = h};
      one.fill();
      visit(one);
    }
  }
}

template <class Value>
void forward(const basic_attention_args<Value>& args) {
  check_attention(args);
  for_each_head(args, [&args](const dense_head<Value>& one) {
    std::vector<double> sum(args.head_dim);
    for (std::size_t i = 0; i < one.length; ++i) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t j = 0; j < one.length; ++j) {
        const double weight = one.weights[i * one.length + j];
        const Value* v = args.v + one.kv_at(args.v_stride, j);
        if (weight == 0.0) continue;
        for (std::size_t c = 0; c < args.head_dim; ++c)
          sum[c] += weight * static_cast<double>(v[c]);
      }
      Value* o = args.o + one.q_at(args.o_stride, i);
      for (std::size_t c = 0; c < args.head_dim; ++c) o[c] = static_cast<Value>(sum[c]);
      args.lse[(one.first + i) * args.heads + one.head] = static_cast<Value>(one.log_sums[i]);
    }
  });
}

/// Gradients in double, laid out [tokens, heads or kv_heads, head_dim].
struct dense_gradients {
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> table;
};

/// dS of row i: P ⊙ (d_o Vᵀ - D).
template <class Value>
std::vector<double> score_gradients(const basic_attention_backward_args<Value>& args,
                                    const dense_head<Value>& one,
                                    std::size_t i) {
  const basic_attention_args<Value>& in = args.forward;
  const double* weights = one.weights.data() + i * one.length;
  std::vector<double> gradients(one.length);
  double mean = 0.0;
  for (std::size_t j = 0; j < one.length; ++j) {
    const Value* d_o = args.d_o + one.q_at(args.d_o_stride, i);
    const Value* v = in.v + one.kv_at(in.v_stride, j);
    for (std::size_t c = 0; c < in.head_dim && weights[j] != 0.0; ++c)
      gradients[j] += static_cast<double>(d_o[c]) * static_cast<double>(v[c]);
    mean += weights[j] * gradients[j];
  }
  for (std::size_t j = 0; j < one.length; ++j) gradients[j] = weights[j] * (gradients[j] - mean);
  return gradients;
}

template <class Value>
void add_pair(const basic_attention_backward_args<Value>& args,
              const dense_head<Value>& one,
              std::size_t i,
              std::size_t j,
              double score_gradient,
              dense_gradients& to) {
  const basic_attention_args<Value>& in = args.forward;
  const std::size_t q_width = in.heads * in.head_dim;
  const std::size_t kv_width = in.kv_heads * in.head_dim;
  const double scaled = static_cast<double>(in.scale) * score_gradient;
  const double weight = one.weights[i * one.length + j];
  for (std::size_t c = 0; c < in.head_dim; ++c) {
    const double q = static_cast<double>(in.q[one.q_at(in.q_stride, i) + c]);
    const double k = static_cast<double>(in.k[one.kv_at(in.k_stride, j) + c]);
    const double d_o = static_cast<double>(args.d_o[one.q_at(args.d_o_stride, i) + c]);
    to.q[one.q_at(q_width, i) + c] += scaled * k;
    to.k[one.kv_at(kv_width, j) + c] += scaled * q;
    to.v[one.kv_at(kv_width, j) + c] += weight * d_o;
  }
  if (!to.table.empty()) to.table[one.table_at(i, j)] += score_gradient;
}

template <class Value>
void write_rows(const std::vector<double>& from, std::size_t width, Value* to, std::size_t stride) {
  for (std::size_t i = 0; i < from.size(); ++i)
    to[i / width * stride + i % width] = static_cast<Value>(from[i]);
}

template <class Value>
void backward(const basic_attention_backward_args<Value>& args) {
  check_attention_backward(args);
  const basic_attention_args<Value>& in = args.forward;
  const std::size_t q_width = in.heads * in.head_dim;
  const std::size_t kv_width = in.kv_heads * in.head_dim;
  const std::size_t tokens = in.offsets.back();
  dense_gradients sums = {
      .q = std::vector<double>(tokens * q_width),
      .k = std::vector<double>(tokens * kv_width),
      .v = std::vector<double>(tokens * kv_width),
      .table = {args.bias_table_gradient.begin(), args.bias_table_gradient.end()}};
  for_each_head(in, [&](const dense_head<Value>& one) {
    for (std::size_t i = 0; i < one.length; ++i) {
      const std::vector<double> gradients = score_gradients(args, one, i);
      for (std::size_t j = 0; j < one.length; ++j) {
        if (one.weights[i * one.length + j] != 0.0) add_pair(args, one, i, j, gradients[j], sums);
      }
    }
  });
  write_rows(sums.q, q_width, args.dq, args.dq_stride);
  write_rows(sums.k, kv_width, args.dk, args.dk_stride);
  write_rows(sums.v, kv_width, args.dv, args.dv_stride);
  for (std::size_t i = 0; i < sums.table.size(); ++i)
    args.bias_table_gradient[i] = static_cast<Value>(sums.table[i]);
}

}  // namespace

void attention_ref(const attention_args& args) { forward(args); }
void attention_ref(const basic_attention_args<double>& args) { forward(args); }
void attention_backward_ref(const attention_backward_args& args) { backward(args); }
void attention_backward_ref(const basic_attention_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
