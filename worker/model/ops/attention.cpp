#include "kernels/attention/attention.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/list_mask.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

// softmax(Q Kᵀ / √d + mask) V within each list (Vaswani et al. 2017;
// kernels/attention/attention.hpp). Its input has a token's queries, keys and values side by side,
// as a linear layer of 3 x units leaves them; heads side by side in each of the three.
class attention_layer final : public layer {
 public:
  attention_layer(const value_shape& input,
                  std::size_t head_count,
                  const kernels::attention_mask& mask,
                  std::size_t longest)
      : units_(input.columns() / 3), heads_(head_count), mask_(mask), longest_(longest) {
    output = {.fields = 1, .dim = units_, .list = input.list};
  }
  std::size_t saved(std::size_t tokens) const override { return tokens * heads_; }
  // A list may be as long as the chunk.
  std::size_t workspace(std::size_t tokens) const override {
    return std::max(kernels::attention_workspace(units_ / heads_),
                    kernels::attention_backward_workspace(units_ / heads_, tokens));
  }
  bool backward_reads_inputs() const override { return true; }
  bool backward_reads_output() const override { return true; }
  layer_cost cost(std::size_t tokens) const override {
    // Of lists as long as the job has them, without what the mask leaves out.
    const double pairs = static_cast<double>(tokens) * static_cast<double>(longest_);
    const double forward = 4.0 * pairs * static_cast<double>(units_) * (mask_.causal ? 0.5 : 1.0);
    return {forward, 2.5 * forward};
  }

  double forward(const layer_run& run) const override {
    kernels::attention_args args = args_of(run);
    args.workspace = run.workspace;
    kernels::attention(args);
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.samples == 0) return;
    kernels::attention_backward_args args;
    args.forward = args_of(run);
    args.d_o = run.output_gradient.data();
    args.d_o_stride = units_;
    float* const gradient = run.input_gradients[0].data();
    args.dq = gradient;
    args.dk = gradient + units_;
    args.dv = gradient + 2 * units_;
    args.dq_stride = args.dk_stride = args.dv_stride = 3 * units_;
    args.workspace = run.workspace;
    kernels::attention_backward(args);
  }

 private:
  kernels::attention_args args_of(const layer_run& run) const {
    kernels::attention_args args;
    args.q = run.inputs[0].data();
    args.k = args.q + units_;
    args.v = args.q + 2 * units_;
    args.q_stride = args.k_stride = args.v_stride = 3 * units_;
    args.offsets = run.offsets;
    args.heads = args.kv_heads = heads_;
    args.head_dim = units_ / heads_;
    args.scale = 1.0F / std::sqrt(static_cast<float>(args.head_dim));
    args.mask = mask_;
    args.o = run.output.data();
    args.o_stride = units_;
    args.lse = run.saved.first(run.samples * heads_);
    return args;
  }

  std::size_t units_;
  std::size_t heads_;
  kernels::attention_mask mask_;
  std::size_t longest_;
};

}  // namespace

result<std::unique_ptr<layer>> make_attention(const layer_section& section) {
  const auto heads = read_heads(section);
  const auto mask = read_mask(section);
  if (auto fits = expect_heads(section, heads); !fits) return fits.error();
  const value_shape& input = section.inputs[0];
  return std::unique_ptr<layer>(
      std::make_unique<attention_layer>(input, heads, mask, longest_list(section, *input.list)));
}

}  // namespace headrace::worker
