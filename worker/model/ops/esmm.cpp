#include "kernels/esmm_loss/esmm_loss.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// The loss of the entire-space multi-task model (Ma et al., SIGIR'18): of the logits of p(click)
// and p(conversion | click), both learned from all samples. Output [samples, 2]: p(click) and
// p(click and conversion).
class esmm_layer final : public layer {
 public:
  esmm_layer(const loss_head& click, const loss_head& conversion) {
    heads = {click, conversion};
    output = {.fields = 1, .dim = 2};
  }
  bool is_loss() const override { return true; }
  std::size_t saved(std::size_t samples) const override { return 2 * samples; }  // gradients
  std::size_t workspace(std::size_t samples) const override { return 3 * samples; }

  double forward(const layer_run& run) const override {
    const std::size_t n = run.samples;
    const auto p_ctr = run.workspace.first(n);
    const auto p_ctcvr = run.workspace.subspan(n, n);
    const auto losses = kernels::esmm_loss({.ctr_logits = run.inputs[0],
                                            .cvr_logits = run.inputs[1],
                                            .clicks = run.label(heads[0].label),
                                            .conversions = run.label(heads[1].label),
                                            .click_weight = heads[0].weight,
                                            .conversion_weight = heads[1].weight,
                                            .p_ctr = p_ctr,
                                            .p_cvr = run.workspace.subspan(2 * n, n),
                                            .p_ctcvr = p_ctcvr,
                                            .ctr_gradients = run.saved.first(n),
                                            .cvr_gradients = run.saved.subspan(n, n)});
    for (std::size_t s = 0; s < n; ++s) {
      run.output[2 * s] = p_ctr[s];
      run.output[2 * s + 1] = p_ctcvr[s];
    }
    return static_cast<double>(heads[0].weight) * losses.click +
           static_cast<double>(heads[1].weight) * losses.conversion;
  }
  void backward(const layer_run& run) const override {
    for (std::size_t i = 0; i < 2; ++i) {
      if (!run.input_gradients[i].empty())
        std::ranges::copy(run.saved.subspan(i * run.samples, run.samples),
                          run.input_gradients[i].begin());
    }
  }
};

}  // namespace

result<std::unique_ptr<layer>> make_esmm(const layer_section& section) {
  const loss_head click{choose_label(section, "label", 0), loss_weight(section, "weight")};
  const loss_head conversion{choose_label(section, "conversion_label", 1),
                             loss_weight(section, "conversion_weight")};
  if (auto fits = expect_dense(section, 2, 2); !fits) return fits.error();
  for (const value_shape& input : section.inputs) {
    if (input.columns() != 1)
      return error{errc::bad_config,
                   "takes two logits a sample, of the click and of the conversion after one; an "
                   "input is " +
                       describe(input) + ": a linear layer with units = 1 gives one"};
  }
  if (click.label == conversion.label)
    return error{errc::bad_config,
                 "label and conversion_label are one; the conversion is another label of the job"};
  return std::unique_ptr<layer>(std::make_unique<esmm_layer>(click, conversion));
}

}  // namespace headrace::worker
