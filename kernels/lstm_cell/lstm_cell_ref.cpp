#include "base/check.hpp"
#include "kernels/lstm_cell/lstm_cell.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }

template <class Value>
double at(std::span<const Value> values, std::size_t i) {
  return static_cast<double>(values[i]);
}

/// Column j of z of one row, from the second matrix's rows below the first's.
template <class Value>
double pre_gate(const basic_lstm_cell_forward_args<Value>& args, std::size_t row, std::size_t j) {
  const auto& [rows, inputs, hidden] = args.sizes;
  double z = at(args.bias, j);
  for (std::size_t i = 0; i < inputs; ++i) {
    z += at(args.x, row * inputs + i) * at(args.input_weights, i * 4 * hidden + j);
  }
  for (std::size_t i = 0; i < hidden; ++i) {
    z += at(args.h, row * hidden + i) * at(args.hidden_weights, i * 4 * hidden + j);
  }
  return z;
}

template <class Value>
void forward(const basic_lstm_cell_forward_args<Value>& args) {
  const std::size_t rows = args.sizes.rows;
  const std::size_t hidden = args.sizes.hidden;
  CHECK(args.gates.size() == rows * 4 * hidden);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t j = 0; j < hidden; ++j) {
      const double i = sigmoid(pre_gate(args, row, j));
      const double f = sigmoid(pre_gate(args, row, hidden + j));
      const double g = std::tanh(pre_gate(args, row, 2 * hidden + j));
      const double o = sigmoid(pre_gate(args, row, 3 * hidden + j));
      const double c = f * at(args.c, row * hidden + j) + i * g;
      Value* gates = args.gates.data() + row * 4 * hidden + j;
      gates[0] = static_cast<Value>(i);
      gates[hidden] = static_cast<Value>(f);
      gates[2 * hidden] = static_cast<Value>(g);
      gates[3 * hidden] = static_cast<Value>(o);
      args.next_c[row * hidden + j] = static_cast<Value>(c);
      args.cell_tanhs[row * hidden + j] = static_cast<Value>(std::tanh(c));
      args.next_h[row * hidden + j] = static_cast<Value>(o * std::tanh(c));
    }
  }
}

/// Gradient of z [rows, 4 hidden]; writes c_gradients.
template <class Value>
std::vector<double> pre_gate_gradients(const basic_lstm_cell_backward_args<Value>& args) {
  const std::size_t hidden = args.sizes.hidden;
  std::vector<double> dz(args.gates.size());
  for (std::size_t n = 0; n < args.c.size(); ++n) {
    const std::size_t first = n / hidden * 4 * hidden + n % hidden;
    const double i = at(args.gates, first);
    const double f = at(args.gates, first + hidden);
    const double g = at(args.gates, first + 2 * hidden);
    const double o = at(args.gates, first + 3 * hidden);
    const double t = at(args.cell_tanhs, n);
    const double dh = at(args.next_h_gradients, n);
    const double dc = at(args.next_c_gradients, n) + dh * o * (1.0 - t * t);
    dz[first] = dc * g * i * (1.0 - i);
    dz[first + hidden] = dc * at(args.c, n) * f * (1.0 - f);
    dz[first + 2 * hidden] = dc * i * (1.0 - g * g);
    dz[first + 3 * hidden] = dh * t * o * (1.0 - o);
    args.c_gradients[n] = static_cast<Value>(dc * f);
  }
  return dz;
}

/// Of Z = V M: dV = dZ Mᵀ written (unless empty), dM += Vᵀ dZ.
template <class Value>
void product_gradients(std::span<const Value> v,
                       std::size_t depth,
                       std::span<const Value> m,
                       const std::vector<double>& dz,
                       std::size_t columns,
                       std::span<Value> dv,
                       std::span<Value> dm) {
  for (std::size_t n = 0; n < dv.size(); ++n) {
    double sum = 0.0;
    for (std::size_t j = 0; j < columns; ++j) {
      sum += dz[n / depth * columns + j] * at(m, n % depth * columns + j);
    }
    dv[n] = static_cast<Value>(sum);
  }
  for (std::size_t n = 0; n < dm.size(); ++n) {
    double sum = static_cast<double>(dm[n]);
    for (std::size_t row = 0; row * columns < dz.size(); ++row) {
      sum += at(v, row * depth + n / columns) * dz[row * columns + n % columns];
    }
    dm[n] = static_cast<Value>(sum);
  }
}

template <class Value>
void backward(const basic_lstm_cell_backward_args<Value>& args) {
  const auto& [rows, inputs, hidden] = args.sizes;
  const std::size_t columns = 4 * hidden;
  CHECK(args.gates.size() == rows * columns);
  const std::vector<double> dz = pre_gate_gradients(args);
  product_gradients(args.x,
                    inputs,
                    args.input_weights,
                    dz,
                    columns,
                    args.x_gradients,
                    args.input_weight_gradients);
  product_gradients(args.h,
                    hidden,
                    args.hidden_weights,
                    dz,
                    columns,
                    args.h_gradients,
                    args.hidden_weight_gradients);
  for (std::size_t j = 0; j < columns; ++j) {
    double sum = static_cast<double>(args.bias_gradients[j]);
    for (std::size_t row = 0; row < rows; ++row) sum += dz[row * columns + j];
    args.bias_gradients[j] = static_cast<Value>(sum);
  }
}

}  // namespace

void lstm_cell_forward_ref(const lstm_cell_forward_args& args) { forward(args); }
void lstm_cell_forward_ref(const basic_lstm_cell_forward_args<double>& args) { forward(args); }
void lstm_cell_backward_ref(const lstm_cell_backward_args& args) { backward(args); }
void lstm_cell_backward_ref(const basic_lstm_cell_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
