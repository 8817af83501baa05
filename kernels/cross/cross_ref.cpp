#include "base/check.hpp"
#include "kernels/cross/cross.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

using doubles = std::vector<double>;

template <class Value>
doubles widened(std::span<const Value> values) {
  return doubles(values.begin(), values.end());
}

template <class Value>
void narrow(const doubles& from, std::span<Value> to) {
  CHECK(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<Value>(from[i]);
}

/// Adds what was there before, then writes it back.
template <class Value>
void add_to(const doubles& from, std::span<Value> to) {
  CHECK(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i] = static_cast<Value>(static_cast<double>(to[i]) + from[i]);
  }
}

/// a [m, k] times b [k, n].
doubles product(const doubles& a, const doubles& b, std::size_t m, std::size_t k, std::size_t n) {
  doubles c(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t l = 0; l < k; ++l) {
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return c;
}

/// a [m, n] transposed.
doubles transposed(const doubles& a, std::size_t m, std::size_t n) {
  doubles t(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) t[j * m + i] = a[i * n + j];
  }
  return t;
}

template <class Value>
void forward(const basic_cross_args<Value>& args) {
  const auto [rows, dim, rank] = args.shape;
  const doubles x = widened(args.x);
  doubles u;
  if (rank == 0) {
    u = product(x, widened(args.weights.full), rows, dim, dim);
  } else {
    const doubles projected = product(x, widened(args.weights.down), rows, dim, rank);
    narrow(projected, args.projected);
    u = product(projected, transposed(widened(args.weights.up), dim, rank), rows, rank, dim);
  }
  for (std::size_t i = 0; i < u.size(); ++i)
    u[i] += static_cast<double>(args.weights.bias[i % dim]);
  narrow(u, args.affine);
  doubles out = x;
  for (std::size_t i = 0; i < u.size(); ++i) out[i] += static_cast<double>(args.x0[i]) * u[i];
  narrow(out, args.out);
}

/// Adds the gradients of the matrices; returns what they pass on to x.
template <class Value>
doubles through_matrices(const basic_cross_backward_args<Value>& args, const doubles& du) {
  const auto [rows, dim, rank] = args.shape;
  const doubles x_transposed = transposed(widened(args.x), rows, dim);
  if (rank == 0) {
    add_to(product(x_transposed, du, dim, rows, dim), args.weight_gradients.full);
    return product(du, transposed(widened(args.weights.full), dim, dim), rows, dim, dim);
  }
  const doubles dt = product(du, widened(args.weights.up), rows, dim, rank);
  const doubles du_transposed = transposed(du, rows, dim);
  add_to(product(x_transposed, dt, dim, rows, rank), args.weight_gradients.down);
  add_to(product(du_transposed, widened(args.projected), dim, rows, rank),
         args.weight_gradients.up);
  return product(dt, transposed(widened(args.weights.down), dim, rank), rows, rank, dim);
}

template <class Value>
void backward(const basic_cross_backward_args<Value>& args) {
  const auto [rows, dim, rank] = args.shape;
  const doubles g = widened(args.out_gradients);
  doubles du = g;
  doubles dx0 = g;
  doubles db(dim);
  for (std::size_t i = 0; i < g.size(); ++i) {
    du[i] *= static_cast<double>(args.x0[i]);
    dx0[i] *= static_cast<double>(args.affine[i]);
    db[i % dim] += du[i];
  }
  doubles dx = through_matrices(args, du);
  for (std::size_t i = 0; i < g.size(); ++i) dx[i] += g[i];
  narrow(dx, args.x_gradients);
  add_to(dx0, args.x0_gradients);
  add_to(db, args.weight_gradients.bias);
}

}  // namespace

void cross_ref(const cross_args& args) { forward(args); }
void cross_ref(const basic_cross_args<double>& args) { forward(args); }
void cross_backward_ref(const cross_backward_args& args) { backward(args); }
void cross_backward_ref(const basic_cross_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
