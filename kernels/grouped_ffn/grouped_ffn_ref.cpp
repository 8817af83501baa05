#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

double sigmoid(double u) { return 1.0 / (1.0 + std::exp(-u)); }

/// C [m, n] = op(A) op(B) or, where given, C += ...; matrices without gaps.
template <class Value>
void multiply(const Value* a,
              bool a_transposed,
              const Value* b,
              bool b_transposed,
              Value* c,
              std::size_t m,
              std::size_t n,
              std::size_t k,
              bool accumulate) {
  gemm_ref(basic_gemm_args<Value>{.a = a,
                                  .a_stride = a_transposed ? m : k,
                                  .a_transposed = a_transposed,
                                  .b = b,
                                  .b_stride = b_transposed ? k : n,
                                  .b_transposed = b_transposed,
                                  .c = c,
                                  .c_stride = n,
                                  .m = m,
                                  .n = n,
                                  .k = k,
                                  .accumulate = accumulate});
}

/// h of `n` hidden values, from what forward keeps.
template <class Value>
std::vector<Value> hidden_values(ffn_form form,
                                 const Value* first,
                                 const Value* third,
                                 std::size_t n) {
  std::vector<Value> h(first, first + n);
  for (std::size_t i = 0; i < n && form == ffn_form::swiglu; ++i) {
    const double u = static_cast<double>(first[i]);
    h[i] = static_cast<Value>(u * sigmoid(u) * static_cast<double>(third[i]));
  }
  return h;
}

template <class Value>
void forward(const basic_grouped_ffn_args<Value>& args) {
  const auto& [form, experts, dim, hidden] = args.sizes;
  CHECK(args.offsets.size() == experts + 1);
  for (std::size_t e = 0; e < experts; ++e) {
    const std::size_t row = args.offsets[e];
    const std::size_t rows = args.offsets[e + 1] - row;
    if (rows == 0) continue;
    const std::size_t weights = e * dim * hidden;
    const Value* x = args.x.data() + row * dim;
    Value* first = args.first.data() + row * hidden;
    Value* third = args.third.data() + (form == ffn_form::swiglu ? row * hidden : 0);
    multiply<Value>(x, false, args.w1.data() + weights, false, first, rows, hidden, dim, false);
    if (form == ffn_form::swiglu) {
      multiply<Value>(x, false, args.w3.data() + weights, false, third, rows, hidden, dim, false);
    } else {
      for (std::size_t i = 0; i < rows * hidden; ++i) first[i] = first[i] < 0 ? Value{0} : first[i];
    }
    const std::vector<Value> h = hidden_values<Value>(form, first, third, rows * hidden);
    Value* y = args.y.data() + row * dim;
    multiply<Value>(h.data(), false, args.w2.data() + weights, false, y, rows, dim, hidden, false);
  }
}

/// Turns dh into du and dv, the gradients of x W1 and x W3.
template <class Value>
void hidden_backward(ffn_form form,
                     const Value* first,
                     const Value* third,
                     std::vector<Value>& du,
                     std::vector<Value>& dv) {
  for (std::size_t i = 0; i < du.size(); ++i) {
    if (form == ffn_form::relu) {
      if (first[i] <= 0) du[i] = Value{0};
      continue;
    }
    const double u = static_cast<double>(first[i]);
    const double dh = static_cast<double>(du[i]);
    const double s = sigmoid(u);
    dv[i] = static_cast<Value>(dh * u * s);
    du[i] = static_cast<Value>(dh * static_cast<double>(third[i]) * s * (1.0 + u * (1.0 - s)));
  }
}

template <class Value>
void backward(const basic_grouped_ffn_backward_args<Value>& args) {
  const auto& [form, experts, dim, hidden] = args.sizes;
  CHECK(args.offsets.size() == experts + 1);
  for (std::size_t e = 0; e < experts; ++e) {
    const std::size_t row = args.offsets[e];
    const std::size_t rows = args.offsets[e + 1] - row;
    if (rows == 0) continue;
    const std::size_t at = e * dim * hidden;
    const Value* x = args.x.data() + row * dim;
    const Value* dy = args.y_gradients.data() + row * dim;
    const Value* first = args.first.data() + row * hidden;
    const Value* third = args.third.data() + (form == ffn_form::swiglu ? row * hidden : 0);
    std::vector<Value> du(rows * hidden);
    std::vector<Value> dv(rows * hidden);
    multiply<Value>(dy, false, args.w2.data() + at, true, du.data(), rows, hidden, dim, false);
    hidden_backward<Value>(form, first, third, du, dv);
    const std::vector<Value> h = hidden_values<Value>(form, first, third, rows * hidden);
    Value* dw2 = args.w2_gradients.data() + at;
    multiply<Value>(h.data(), true, dy, false, dw2, hidden, dim, rows, true);
    Value* dx = args.x_gradients.data() + row * dim;
    Value* dw1 = args.w1_gradients.data() + at;
    multiply<Value>(x, true, du.data(), false, dw1, dim, hidden, rows, true);
    multiply<Value>(du.data(), false, args.w1.data() + at, true, dx, rows, dim, hidden, false);
    if (form == ffn_form::relu) continue;
    Value* dw3 = args.w3_gradients.data() + at;
    multiply<Value>(x, true, dv.data(), false, dw3, dim, hidden, rows, true);
    multiply<Value>(dv.data(), false, args.w3.data() + at, true, dx, rows, dim, hidden, true);
  }
}

}  // namespace

void grouped_ffn_ref(const grouped_ffn_args& args) { forward(args); }
void grouped_ffn_ref(const basic_grouped_ffn_args<double>& args) { forward(args); }
void grouped_ffn_backward_ref(const grouped_ffn_backward_args& args) { backward(args); }
void grouped_ffn_backward_ref(const basic_grouped_ffn_backward_args<double>& args) {
  backward(args);
}

}  // namespace headrace::kernels
