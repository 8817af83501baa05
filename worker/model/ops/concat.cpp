#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::worker {
namespace {

// Inputs side by side. Vectors of one width stay vectors: 26 x 16 and 16 give 27 x 16.
class concat_layer final : public layer {
 public:
  explicit concat_layer(std::span<const value_shape> inputs) {
    bool one_width = true;
    std::size_t fields = 0;
    std::size_t columns = 0;
    for (const value_shape& input : inputs) {
      columns_.push_back(input.columns());
      columns += input.columns();
      fields += input.fields;
      one_width = one_width && input.dim == inputs[0].dim;
    }
    output = one_width ? value_shape{.fields = fields, .dim = inputs[0].dim}
                       : value_shape{.fields = 1, .dim = columns};
    output.list = inputs[0].list;
  }
  device_form on_device() const override {
    return output.list ? device_form(no_device_form{}) : concat_form{};
  }
  double forward(const layer_run& run) const override {
    float* to = run.output.data();
    for (std::size_t s = 0; s < run.samples; ++s) {
      for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::memcpy(to, run.inputs[i].data() + s * columns_[i], columns_[i] * sizeof(float));
        to += columns_[i];
      }
    }
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const float* from = run.output_gradient.data();
    for (std::size_t s = 0; s < run.samples; ++s) {
      for (std::size_t i = 0; i < columns_.size(); ++i) {
        if (!run.input_gradients[i].empty())
          std::memcpy(
              run.input_gradients[i].data() + s * columns_[i], from, columns_[i] * sizeof(float));
        from += columns_[i];
      }
    }
  }

 private:
  std::vector<std::size_t> columns_;
};

}  // namespace

result<std::unique_ptr<layer>> make_concat(const layer_section& section) {
  if (auto fits = expect_alike(section, 1, SIZE_MAX); !fits) return fits.error();
  return std::unique_ptr<layer>(std::make_unique<concat_layer>(section.inputs));
}

}  // namespace headrace::worker
