#pragma once

#include "bench/torch/layer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

/// For tests of layers: their outputs against plain loops in double.
namespace headrace::bench {

using tensors = std::map<std::string, std::vector<double>>;

inline tensors doubles_of(const std::vector<layer_tensor>& list) {
  tensors made;
  for (const auto& [name, values] : list)
    made[name] = std::vector<double>(values.begin(), values.end());
  return made;
}

/// The layer's y is that of `forward`, and its dNAME for every input NAME but dy are the central
/// differences of Σ dy ⊙ y.
template <class Forward>
void expect_outputs_of(const layer& made, const Forward& forward) {
  tensors inputs = doubles_of(made.inputs());
  const tensors outputs = doubles_of(made.outputs());
  const std::vector<double> y = forward(inputs);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(outputs.at("y")[i], y[i], 1e-5) << i;
  const auto loss = [&] {
    const std::vector<double> moved = forward(inputs);
    double sum = 0;
    for (std::size_t i = 0; i < moved.size(); ++i) sum += inputs.at("dy")[i] * moved[i];
    return sum;
  };
  for (auto& [name, values] : inputs) {
    if (name == "dy") continue;
    const std::vector<double>& gradient = outputs.at("d" + name);
    ASSERT_EQ(gradient.size(), values.size()) << name;
    for (std::size_t i = 0; i < values.size(); i += std::max<std::size_t>(values.size() / 97, 1)) {
      const double before = values[i];
      values[i] = before + 1e-6;
      const double above = loss();
      values[i] = before - 1e-6;
      const double below = loss();
      values[i] = before;
      ASSERT_NEAR(gradient[i], (above - below) / 2e-6, 1e-4) << name << " at " << i;
    }
  }
}

}  // namespace headrace::bench
