#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

struct lstm_cell_sizes {
  std::size_t rows = 0;
  std::size_t inputs = 0;
  std::size_t hidden = 0;
};

/// One step of an LSTM cell (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000):
/// z = X W + H U + bias; i, f, o = sigmoid, g = tanh of z's quarters; c' = f c + i g; h' = o
/// tanh(c').
///
/// Gates are in the order i f g o, each `hidden` wide: input_weights W [inputs, 4 hidden],
/// hidden_weights U [hidden, 4 hidden], bias [4 hidden]; W and U may be one matrix, [x h] above
/// each other. x [rows, inputs], h and c [rows, hidden]. Out: next_h and next_c [rows, hidden]; for
/// backward gates [rows, 4 hidden], after sigmoid and tanh, and cell_tanhs [rows, hidden] =
/// tanh(c'). Outputs overlap no inputs. workspace: at least lstm_cell_workspace(sizes) floats; the
/// reference needs none.
///
/// Bounds, with u = 2^-24: z by (inputs + hidden + 5) u (Σ|x w| + Σ|h u| + |bias|); a sigmoid by a
/// quarter of it and 4 u of itself, a tanh by all of it and 8 u of itself; from there to c' and h'
/// by their products, as the test adds up.
template <class Value>
struct basic_lstm_cell_forward_args {
  lstm_cell_sizes sizes;
  std::span<const Value> x;
  std::span<const Value> h;
  std::span<const Value> c;
  std::span<const Value> input_weights;
  std::span<const Value> hidden_weights;
  std::span<const Value> bias;
  std::span<Value> next_h;
  std::span<Value> next_c;
  std::span<Value> gates;
  std::span<Value> cell_tanhs;
  std::span<Value> workspace = {};
};
using lstm_cell_forward_args = basic_lstm_cell_forward_args<float>;

/// Floats that forward and backward need.
std::size_t lstm_cell_workspace(const lstm_cell_sizes& sizes);

void lstm_cell_forward_ref(const lstm_cell_forward_args& args);  // double accumulators
void lstm_cell_forward_ref(const basic_lstm_cell_forward_args<double>& args);
void lstm_cell_forward_cpu(const lstm_cell_forward_args& args);

inline void lstm_cell_forward(const lstm_cell_forward_args& args) { lstm_cell_forward_cpu(args); }

/// Gradients of the loss from those of next_h and next_c [rows, hidden].
///
/// Writes x_gradients [rows, inputs] (or empty: nobody asks), h_gradients and c_gradients [rows,
/// hidden]; adds to those of the weights and the bias. `gates` and `cell_tanhs` as forward left
/// them. Error: relative L2 1e-5 of each result.
template <class Value>
struct basic_lstm_cell_backward_args {
  lstm_cell_sizes sizes;
  std::span<const Value> x;
  std::span<const Value> h;
  std::span<const Value> c;
  std::span<const Value> input_weights;
  std::span<const Value> hidden_weights;
  std::span<const Value> gates;
  std::span<const Value> cell_tanhs;
  std::span<const Value> next_h_gradients;
  std::span<const Value> next_c_gradients;
  std::span<Value> x_gradients;
  std::span<Value> h_gradients;
  std::span<Value> c_gradients;
  std::span<Value> input_weight_gradients;
  std::span<Value> hidden_weight_gradients;
  std::span<Value> bias_gradients;
  std::span<Value> workspace = {};
};
using lstm_cell_backward_args = basic_lstm_cell_backward_args<float>;

void lstm_cell_backward_ref(const lstm_cell_backward_args& args);
void lstm_cell_backward_ref(const basic_lstm_cell_backward_args<double>& args);
void lstm_cell_backward_cpu(const lstm_cell_backward_args& args);

inline void lstm_cell_backward(const lstm_cell_backward_args& args) {
  lstm_cell_backward_cpu(args);
}

}  // namespace headrace::kernels
