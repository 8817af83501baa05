#include "worker/prefetch/lstm_cell.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

}  // namespace

lstm_cell::lstm_cell(std::size_t inputs, std::size_t hidden, std::uint64_t seed)
    : inputs_(inputs),
      hidden_(hidden),
      parameters_(4 * hidden,
                  inputs + hidden + 1,
                  1.0F / std::sqrt(static_cast<float>(inputs + hidden)),
                  seed) {
  // Remembering is the default (Gers, Schmidhuber, Cummins, 2000).
  for (std::size_t unit = 0; unit < hidden; ++unit)
    parameters_.weights(hidden + unit).back() = 1.0F;
}

lstm_cell::state lstm_cell::zero_state() const {
  return {std::vector<float>(hidden_, 0.0F), std::vector<float>(hidden_, 0.0F)};
}

void lstm_cell::forward(std::span<const float> x, state& now, step& done) const {
  CHECK(x.size() == inputs_);
  done.input.assign(x.begin(), x.end());
  done.input.insert(done.input.end(), now.hidden.begin(), now.hidden.end());
  done.cell_before = now.cell;
  done.gates.resize(4 * hidden_);
  done.cell_squashed.resize(hidden_);
  for (std::size_t gate = 0; gate < 4 * hidden_; ++gate) {
    const auto weights = parameters_.weights(gate);
    float sum = weights.back();
    for (std::size_t i = 0; i < done.input.size(); ++i) sum += weights[i] * done.input[i];
    done.gates[gate] = gate < 3 * hidden_ ? sigmoid(sum) : std::tanh(sum);
  }
  for (std::size_t unit = 0; unit < hidden_; ++unit) {
    const float in = done.gates[unit];
    const float forget = done.gates[hidden_ + unit];
    const float out = done.gates[2 * hidden_ + unit];
    const float candidate = done.gates[3 * hidden_ + unit];
    now.cell[unit] = forget * now.cell[unit] + in * candidate;
    done.cell_squashed[unit] = std::tanh(now.cell[unit]);
    now.hidden[unit] = out * done.cell_squashed[unit];
  }
}

void lstm_cell::backward(const step& done, state& into, std::span<float> x_gradient) {
  CHECK(x_gradient.size() == inputs_);
  std::vector<float> before(inputs_ + hidden_, 0.0F);  // gradient by x and the hidden state before
  const auto through = [&](std::size_t gate, float slope) {
    const auto weights = parameters_.weights(gate);
    const auto gradient = parameters_.gradient(gate);
    for (std::size_t i = 0; i < before.size(); ++i) {
      gradient[i] += slope * done.input[i];
      before[i] += slope * weights[i];
    }
    gradient.back() += slope;
  };
  for (std::size_t unit = 0; unit < hidden_; ++unit) {
    const float in = done.gates[unit];
    const float forget = done.gates[hidden_ + unit];
    const float out = done.gates[2 * hidden_ + unit];
    const float candidate = done.gates[3 * hidden_ + unit];
    const float squashed = done.cell_squashed[unit];
    const float by_hidden = into.hidden[unit];
    const float by_cell = into.cell[unit] + by_hidden * out * (1.0F - squashed * squashed);
    through(unit, by_cell * candidate * in * (1.0F - in));
    through(hidden_ + unit, by_cell * done.cell_before[unit] * forget * (1.0F - forget));
    through(2 * hidden_ + unit, by_hidden * squashed * out * (1.0F - out));
    through(3 * hidden_ + unit, by_cell * in * (1.0F - candidate * candidate));
    into.cell[unit] = by_cell * forget;
  }
  const auto split = before.begin() + static_cast<std::ptrdiff_t>(inputs_);
  std::copy(before.begin(), split, x_gradient.begin());
  std::copy(split, before.end(), into.hidden.begin());
}

void lstm_cell::descend(float rate) {
  for (std::size_t row = 0; row < parameters_.rows(); ++row) parameters_.descend(row, rate);
}

}  // namespace headrace::worker
