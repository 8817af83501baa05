#include "kernels/hstu/check_args.hpp"
#include "kernels/hstu/hstu.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

/// One query and one key that it sees: tokens i and j of the batch, in head h.
struct pair_of {
  std::size_t h;
  std::size_t i;
  std::size_t j;
};

template <class Value>
std::size_t bucket(const basic_hstu_args<Value>& args, const pair_of& pair) {
  const auto limit = static_cast<std::ptrdiff_t>(args.max_distance);
  const auto offset = static_cast<std::ptrdiff_t>(pair.j) - static_cast<std::ptrdiff_t>(pair.i);
  return pair.h * (2 * args.max_distance + 1) +
         static_cast<std::size_t>(std::clamp(offset, -limit, limit) + limit);
}

template <class Value>
double dot(const Value* a, const Value* b, std::size_t n) {
  double sum = 0.0;
  for (std::size_t c = 0; c < n; ++c) sum += static_cast<double>(a[c]) * static_cast<double>(b[c]);
  return sum;
}

template <class Value>
double score(const basic_hstu_args<Value>& args, const pair_of& pair) {
  const Value* q = args.q + pair.i * args.q_stride + pair.h * args.head_dim;
  const Value* k = args.k + pair.j * args.k_stride + pair.h * args.head_dim;
  const double bias =
      args.bias_table.empty() ? 0.0 : static_cast<double>(args.bias_table[bucket(args, pair)]);
  return static_cast<double>(args.scale) * dot(q, k, args.head_dim) + bias;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// Calls visit(pair, n) for all that a mask shows.
template <class Value, class Visit>
void for_each_pair(const basic_hstu_args<Value>& args, const Visit& visit) {
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    const std::size_t first = args.offsets[s];
    const std::size_t last = args.offsets[s + 1];
    const double n = args.normaliser == Value{0} ? static_cast<double>(last - first)
                                                 : static_cast<double>(args.normaliser);
    for (std::size_t h = 0; h < args.heads; ++h) {
      for (std::size_t i = first; i < last; ++i) {
        for (std::size_t j = first; j < last; ++j) {
          if (sees(args.mask, i - first, j - first)) visit(pair_of{h, i, j}, n);
        }
      }
    }
  }
}

template <class Value>
void store(const std::vector<double>& from, std::size_t width, Value* to, std::size_t stride) {
  for (std::size_t i = 0; i < from.size(); ++i)
    to[i / width * stride + i % width] = static_cast<Value>(from[i]);
}

template <class Value>
void forward(const basic_hstu_args<Value>& args) {
  check_hstu(args);
  CHECK(args.o_stride >= args.heads * args.value_dim);
  const std::size_t width = args.heads * args.value_dim;
  std::vector<double> o(args.offsets.back() * width);
  for_each_pair(args, [&](const pair_of& pair, double n) {
    const double s = score(args, pair);
    const double weight = s * sigmoid(s) / n;
    const std::size_t at = pair.h * args.value_dim;
    for (std::size_t c = at; c < at + args.value_dim; ++c)
      o[pair.i * width + c] += weight * static_cast<double>(args.v[pair.j * args.v_stride + c]);
  });
  store(o, width, args.o, args.o_stride);
}

template <class Value>
void backward(const basic_hstu_backward_args<Value>& args) {
  check_hstu_backward(args);
  const basic_hstu_args<Value>& in = args.forward;
  const std::size_t width = in.heads * in.head_dim;
  const std::size_t value_width = in.heads * in.value_dim;
  std::vector<double> dq(in.offsets.back() * width);
  std::vector<double> dk(dq.size());
  std::vector<double> dv(in.offsets.back() * value_width);
  std::vector<double> table(args.bias_table_gradient.begin(), args.bias_table_gradient.end());
  for_each_pair(in, [&](const pair_of& pair, double n) {
    const double s = score(in, pair);
    const std::size_t value_at = pair.h * in.value_dim;
    const Value* v = in.v + pair.j * in.v_stride + value_at;
    const Value* d_o = args.d_o + pair.i * args.d_o_stride + value_at;
    const double slope = sigmoid(s) * (1.0 + s * (1.0 - sigmoid(s)));
    const double ds = dot(d_o, v, in.value_dim) / n * slope;
    for (std::size_t c = 0; c < in.value_dim; ++c) {
      dv[pair.j * value_width + value_at + c] += s * sigmoid(s) / n * static_cast<double>(d_o[c]);
    }
    const double scaled = static_cast<double>(in.scale) * ds;
    const std::size_t at = pair.h * in.head_dim;
    for (std::size_t c = at; c < at + in.head_dim; ++c) {
      dq[pair.i * width + c] += scaled * static_cast<double>(in.k[pair.j * in.k_stride + c]);
      dk[pair.j * width + c] += scaled * static_cast<double>(in.q[pair.i * in.q_stride + c]);
    }
    if (!table.empty()) table[bucket(in, pair)] += ds;
  });
  store(dq, width, args.dq, args.dq_stride);
  store(dk, width, args.dk, args.dk_stride);
  store(dv, value_width, args.dv, args.dv_stride);
  store(table, 1, args.bias_table_gradient.data(), 1);
}

}  // namespace

void hstu_ref(const hstu_args& args) { forward(args); }
void hstu_ref(const basic_hstu_args<double>& args) { forward(args); }
void hstu_backward_ref(const hstu_backward_args& args) { backward(args); }
void hstu_backward_ref(const basic_hstu_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
