#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// Adds a vector for the place of a token, counted from the newest: row 0 is the newest's, so that a
// list which was cut has the places that it would have whole.
class positions_layer final : public layer {
 public:
  positions_layer(const value_shape& input, std::size_t places) : places_(places) {
    output = input;
  }

  double forward(const layer_run& run) const override {
    const std::size_t columns = output.columns();
    std::ranges::copy(run.inputs[0], run.output.begin());
    for_each_token(run, [&](std::size_t token, std::size_t place) {
      const float* const from = run.parameters[0].data() + place * columns;
      float* const to = run.output.data() + token * columns;
      for (std::size_t c = 0; c < columns; ++c) to[c] += from[c];
    });
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const std::size_t columns = output.columns();
    for_each_token(run, [&](std::size_t token, std::size_t place) {
      const float* const from = run.output_gradient.data() + token * columns;
      float* const to = run.parameter_gradients[0].data() + place * columns;
      for (std::size_t c = 0; c < columns; ++c) to[c] += from[c];
    });
    if (!run.input_gradients[0].empty())
      std::ranges::copy(run.output_gradient, run.input_gradients[0].begin());
  }

 private:
  // Places beyond the last row, of lists longer than the job's, share it.
  template <class Take>
  void for_each_token(const layer_run& run, const Take& take) const {
    for (std::size_t s = 0; s + 1 < run.offsets.size(); ++s) {
      for (std::size_t t = run.offsets[s]; t < run.offsets[s + 1]; ++t)
        take(t, std::min<std::size_t>(run.offsets[s + 1] - 1 - t, places_ - 1));
    }
  }

  std::size_t places_;
};

}  // namespace

result<std::unique_ptr<layer>> make_positions(const layer_section& section) {
  constexpr float vector_scale = 0.01F;  // as rows have it
  std::string weights = section.table("weights");
  if (auto fits = expect_list(section, 1); !fits) return fits.error();
  const value_shape& input = section.inputs[0];
  if (input.columns() > 1024)
    return error{errc::bad_config,
                 "takes up to 1024 values a token; its input has " + describe(input)};
  const std::size_t places = longest_list(section, *input.list);
  auto made = std::make_unique<positions_layer>(input, places);
  made->parameters = {{std::move(weights), places, input.columns(), vector_scale}};
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
