#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

enum class pooling : std::uint8_t { mean, sum, last };

// One vector a sample of a list's vectors: their mean or sum, or that of the newest id; 0 where the
// list is empty.
class pool_layer final : public layer {
 public:
  pool_layer(const value_shape& input, pooling kind) : kind_(kind) {
    output = {.fields = input.fields, .dim = input.dim};
  }

  double forward(const layer_run& run) const override {
    const std::size_t columns = output.columns();
    std::ranges::fill(run.output, 0.0F);
    for (std::size_t s = 0; s < run.samples; ++s) {
      float* const to = run.output.data() + s * columns;
      const float weight = weight_of(run, s);
      for (std::size_t t = begin(run, s); t < run.offsets[s + 1]; ++t) {
        const float* const from = run.inputs[0].data() + t * columns;
        for (std::size_t c = 0; c < columns; ++c) to[c] += weight * from[c];
      }
    }
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.input_gradients[0].empty()) return;
    const std::size_t columns = output.columns();
    std::ranges::fill(run.input_gradients[0], 0.0F);
    for (std::size_t s = 0; s < run.samples; ++s) {
      const float* const from = run.output_gradient.data() + s * columns;
      const float weight = weight_of(run, s);
      for (std::size_t t = begin(run, s); t < run.offsets[s + 1]; ++t) {
        float* const to = run.input_gradients[0].data() + t * columns;
        for (std::size_t c = 0; c < columns; ++c) to[c] = weight * from[c];
      }
    }
  }

 private:
  // The first token that counts.
  std::size_t begin(const layer_run& run, std::size_t s) const {
    const std::size_t end = run.offsets[s + 1];
    const bool only_last = kind_ == pooling::last && end > run.offsets[s];
    return only_last ? end - 1 : run.offsets[s];
  }
  float weight_of(const layer_run& run, std::size_t s) const {
    const std::size_t length = run.offsets[s + 1] - run.offsets[s];
    return kind_ == pooling::mean && length > 0 ? 1.0F / static_cast<float>(length) : 1.0F;
  }

  pooling kind_;
};

result<std::unique_ptr<layer>> make(const layer_section& section, pooling kind) {
  if (auto fits = expect_list(section, 1); !fits) return fits.error();
  return std::unique_ptr<layer>(std::make_unique<pool_layer>(section.inputs[0], kind));
}

}  // namespace

result<std::unique_ptr<layer>> make_last(const layer_section& section) {
  return make(section, pooling::last);
}

result<std::unique_ptr<layer>> make_pool(const layer_section& section) {
  const auto kind = section.config.choice<pooling>(
      section.key("kind"), "mean", {{"mean", pooling::mean}, {"sum", pooling::sum}});
  return make(section, kind);
}

}  // namespace headrace::worker
