#pragma once

#include "worker/prefetch/trained_block.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// One LSTM layer (Hochreiter and Schmidhuber, 1997, with forget gates), f32, plain loops: small
/// enough to learn beside a worker. Single-threaded.
class lstm_cell {
 public:
  struct state {
    std::vector<float> hidden;  // [hidden]
    std::vector<float> cell;    // [hidden]
  };
  /// What one step computed; its backward pass needs it.
  struct step {
    std::vector<float> input;  // [inputs + hidden]: x, then the hidden state before
    std::vector<float>
        gates;  // [4 hidden]: input, forget, output, candidate, after their squashing
    std::vector<float> cell_before;
    std::vector<float> cell_squashed;  // tanh of the new cell
  };

  lstm_cell(std::size_t inputs, std::size_t hidden, std::uint64_t seed);

  std::size_t inputs() const { return inputs_; }
  std::size_t hidden() const { return hidden_; }
  state zero_state() const;

  /// Moves `now` one step on with `x` [inputs]; fills `done`.
  void forward(std::span<const float> x, state& now, step& done) const;
  /// Adds to the parameters' gradients. `into` holds the loss's gradient by the state after the
  /// step, and by the state before it on return; `x_gradient` [inputs] is overwritten.
  void backward(const step& done, state& into, std::span<float> x_gradient);
  void descend(float rate);

 private:
  std::size_t inputs_;
  std::size_t hidden_;
  trained_block parameters_;  // [4 hidden, inputs + hidden + 1]: the last column is the bias
};

}  // namespace headrace::worker
