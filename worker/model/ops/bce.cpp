#include "kernels/bce/bce.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// Binary cross-entropy of a logit against a label, summed over samples, times the weight.
class bce_layer final : public layer {
 public:
  explicit bce_layer(const loss_head& head) { heads = {head}; }
  bool is_loss() const override { return true; }
  std::size_t saved(std::size_t samples) const override { return samples; }  // logit gradients
  device_form on_device() const override { return bce_form{}; }
  double forward(const layer_run& run) const override {
    const double sum = kernels::bce({.logits = run.inputs[0],
                                     .labels = run.label(heads[0].label),
                                     .probabilities = run.output,
                                     .logit_gradients = run.saved.first(run.samples),
                                     .logit_offset = run.logit_offset});
    return static_cast<double>(heads[0].weight) * sum;
  }
  void backward(const layer_run& run) const override {
    const float weight = heads[0].weight;
    std::ranges::transform(run.saved.first(run.samples),
                           run.input_gradients[0].begin(),
                           [weight](float gradient) { return weight * gradient; });
  }
};

}  // namespace

result<std::unique_ptr<layer>> make_bce(const layer_section& section) {
  const loss_head head{choose_label(section, "label", 0), loss_weight(section, "weight")};
  if (auto fits = expect_dense(section, 1, 1); !fits) return fits.error();
  if (section.inputs[0].columns() != 1)
    return error{errc::bad_config,
                 "takes one logit a sample; its input is " + describe(section.inputs[0]) +
                     ": a linear layer with units = 1 gives one"};
  return std::unique_ptr<layer>(std::make_unique<bce_layer>(head));
}

}  // namespace headrace::worker
