#include "kernels/dropout/dropout.hpp"

#include "schemas/hash.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// Leaves out values by chance while learning (kernels/dropout/dropout.hpp); the draw is that of the
// batch and the layer's name, so that a batch which is trained again gets the same.
class dropout_layer final : public layer {
 public:
  dropout_layer(const value_shape& input, float rate, std::uint64_t name)
      : rate_(rate), layer_(name) {
    output = input;
  }
  double forward(const layer_run& run) const override {
    apply(run, run.inputs[0], run.output);
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (!run.input_gradients[0].empty()) apply(run, run.output_gradient, run.input_gradients[0]);
  }

 private:
  void apply(const layer_run& run, std::span<const float> values, std::span<float> results) const {
    if (run.learning) {
      kernels::dropout(
          {.values = values, .results = results, .rate = rate_, .key = {0, run.draw_key, layer_}});
    } else {
      std::ranges::copy(values, results.begin());
    }
  }

  float rate_;
  std::uint64_t layer_;
};

}  // namespace

result<std::unique_ptr<layer>> make_dropout(const layer_section& section) {
  const double rate = section.config.number(section.key("rate"), 0.2, {0.0, 0.99});
  if (auto fits = expect_alike(section, 1, 1); !fits) return fits.error();
  return std::unique_ptr<layer>(
      std::make_unique<dropout_layer>(section.inputs[0],
                                      static_cast<float>(rate),
                                      schemas::hash64(std::as_bytes(std::span(section.name)))));
}

}  // namespace headrace::worker
