#pragma once

#include "base/random.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Parameters [rows, columns] f32 with their gradients, and one Adagrad step a row: a dense matrix
/// or an embedding table of which few rows have a gradient.
class trained_block {
 public:
  /// Uniform in ± `scale`, from the counter stream (seed, row × columns + column).
  trained_block(std::size_t rows, std::size_t columns, float scale, std::uint64_t seed)
      : columns_(columns),
        weights_(rows * columns),
        gradients_(rows * columns, 0.0F),
        squares_(rows * columns, 1e-2F) {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      weights_[i] = (2.0F * unit_float(counter_draw(seed, i, 0)) - 1.0F) * scale;
    }
  }

  std::size_t rows() const { return weights_.size() / columns_; }
  std::size_t columns() const { return columns_; }
  std::span<float> weights(std::size_t row) { return {&weights_[row * columns_], columns_}; }
  std::span<const float> weights(std::size_t row) const {
    return {&weights_[row * columns_], columns_};
  }
  std::span<float> gradient(std::size_t row) { return {&gradients_[row * columns_], columns_}; }

  /// Moves a row against its gradient, each of whose values counts as at most ± 1, and clears it.
  void descend(std::size_t row, float rate) {
    for (std::size_t i = row * columns_; i < (row + 1) * columns_; ++i) {
      const float g = std::fmin(std::fmax(gradients_[i], -1.0F), 1.0F);
      squares_[i] += g * g;
      weights_[i] -= rate * g / std::sqrt(squares_[i]);
      gradients_[i] = 0.0F;
    }
  }

 private:
  std::size_t columns_;
  std::vector<float> weights_;
  std::vector<float> gradients_;
  std::vector<float> squares_;
};

}  // namespace headrace::worker
