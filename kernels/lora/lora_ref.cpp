#include "base/check.hpp"
#include "kernels/lora/lora.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

/// A view of values as doubles, [.., columns].
template <class Value>
struct matrix {
  std::span<Value> values;
  std::size_t columns;
  double operator()(std::size_t i, std::size_t j) const {
    return static_cast<double>(values[i * columns + j]);
  }
};

template <class Value>
void add(std::span<Value> to, std::size_t at, double term) {
  to[at] = static_cast<Value>(static_cast<double>(to[at]) + term);
}

template <class Value>
void forward(const basic_lora_forward_args<Value>& args) {
  const auto& [rows, inputs, rank, outputs] = args.sizes;
  CHECK(args.hidden.size() == rows * rank);
  CHECK(args.y.size() == rows * outputs);
  const matrix<const Value> x = {args.x, inputs};
  const matrix<const Value> a = {args.a, rank};
  const matrix<const Value> b = {args.b, outputs};
  std::vector<double> hidden(rank);
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t r = 0; r < rank; ++r) {
      double sum = 0.0;
      for (std::size_t i = 0; i < inputs; ++i) sum += x(n, i) * a(i, r);
      hidden[r] = static_cast<double>(args.scale) * sum;
      args.hidden[n * rank + r] = static_cast<Value>(hidden[r]);
    }
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = 0.0;
      for (std::size_t r = 0; r < rank; ++r) sum += hidden[r] * b(r, o);
      add(args.y, n * outputs + o, sum);
    }
  }
}

/// dH = s dY Bᵀ.
template <class Value>
std::vector<double> hidden_gradients(const basic_lora_backward_args<Value>& args) {
  const auto& [rows, inputs, rank, outputs] = args.sizes;
  const matrix<const Value> b = {args.b, outputs};
  const matrix<const Value> dy = {args.y_gradients, outputs};
  std::vector<double> gradients(rows * rank);
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t r = 0; r < rank; ++r) {
      double sum = 0.0;
      for (std::size_t o = 0; o < outputs; ++o) sum += dy(n, o) * b(r, o);
      gradients[n * rank + r] = static_cast<double>(args.scale) * sum;
    }
  }
  return gradients;
}

template <class Value>
void backward(const basic_lora_backward_args<Value>& args) {
  const auto& [rows, inputs, rank, outputs] = args.sizes;
  CHECK(args.hidden.size() == rows * rank);
  const std::vector<double> dh = hidden_gradients(args);
  const matrix<const Value> x = {args.x, inputs};
  const matrix<const Value> a = {args.a, rank};
  const matrix<const Value> hidden = {args.hidden, rank};
  const matrix<const Value> dy = {args.y_gradients, outputs};
  for (std::size_t at = 0; at < args.x_gradients.size(); ++at) {
    double sum = 0.0;
    for (std::size_t r = 0; r < rank; ++r) sum += dh[at / inputs * rank + r] * a(at % inputs, r);
    add(args.x_gradients, at, sum);
  }
  for (std::size_t at = 0; at < inputs * rank; ++at) {
    double sum = 0.0;
    for (std::size_t n = 0; n < rows; ++n) sum += x(n, at / rank) * dh[n * rank + at % rank];
    add(args.a_gradients, at, sum);
  }
  for (std::size_t at = 0; at < rank * outputs; ++at) {
    double sum = 0.0;
    for (std::size_t n = 0; n < rows; ++n) sum += hidden(n, at / outputs) * dy(n, at % outputs);
    add(args.b_gradients, at, sum);
  }
}

}  // namespace

void lora_forward_ref(const lora_forward_args& args) { forward(args); }
void lora_forward_ref(const basic_lora_forward_args<double>& args) { forward(args); }
void lora_backward_ref(const lora_backward_args& args) { backward(args); }
void lora_backward_ref(const basic_lora_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
