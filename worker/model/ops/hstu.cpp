#include "kernels/hstu/hstu.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/list_mask.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

constexpr std::size_t distance_max = 511;  // 2 x it + 1 columns are a row of a table

// SiLU(Q Kᵀ / √d + bias by distance) / length, times V, within each list (HSTU, Zhai et al. 2024,
// eq. 2; kernels/hstu/hstu.hpp). Input as attention's; the gate of eq. 3 is a layer of its own.
class hstu_layer final : public layer {
 public:
  hstu_layer(const value_shape& input,
             std::size_t head_count,
             const kernels::attention_mask& mask,
             std::size_t longest)
      : units_(input.columns() / 3),
        heads_(head_count),
        mask_(mask),
        longest_(longest),
        distance_(std::min(longest - 1, distance_max)) {
    output = {.fields = 1, .dim = units_, .list = input.list};
  }
  std::size_t distance() const { return distance_; }
  // A list may be as long as the chunk.
  std::size_t workspace(std::size_t tokens) const override {
    const std::size_t dim = units_ / heads_;
    return std::max(kernels::hstu_workspace(dim, dim),
                    kernels::hstu_backward_workspace(dim, dim, tokens));
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t tokens) const override {
    // Of lists as long as the job has them, without what the mask leaves out.
    const double pairs = static_cast<double>(tokens) * static_cast<double>(longest_);
    const double forward = 4.0 * pairs * static_cast<double>(units_) * (mask_.causal ? 0.5 : 1.0);
    return {forward, 2.5 * forward};
  }

  double forward(const layer_run& run) const override {
    kernels::hstu_args args = args_of(run);
    args.workspace = run.workspace;
    kernels::hstu(args);
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.samples == 0) return;
    kernels::hstu_backward_args args;
    args.forward = args_of(run);
    args.d_o = run.output_gradient.data();
    args.d_o_stride = units_;
    float* const gradient = run.input_gradients[0].data();
    args.dq = gradient;
    args.dk = gradient + units_;
    args.dv = gradient + 2 * units_;
    args.dq_stride = args.dk_stride = args.dv_stride = 3 * units_;
    args.bias_table_gradient = run.parameter_gradients[0];
    args.workspace = run.workspace;
    kernels::hstu_backward(args);
  }

 private:
  kernels::hstu_args args_of(const layer_run& run) const {
    kernels::hstu_args args;
    args.q = run.inputs[0].data();
    args.k = args.q + units_;
    args.v = args.q + 2 * units_;
    args.q_stride = args.k_stride = args.v_stride = 3 * units_;
    args.offsets = run.offsets;
    args.heads = heads_;
    args.head_dim = args.value_dim = units_ / heads_;
    args.scale = 1.0F / std::sqrt(static_cast<float>(args.head_dim));
    args.mask = mask_;
    args.bias_table = run.parameters[0];
    args.max_distance = distance_;
    args.o = run.output.data();
    args.o_stride = units_;
    return args;
  }

  std::size_t units_;
  std::size_t heads_;
  kernels::attention_mask mask_;
  std::size_t longest_;
  std::size_t distance_;
};

}  // namespace

result<std::unique_ptr<layer>> make_hstu(const layer_section& section) {
  const auto heads = read_heads(section);
  const auto mask = read_mask(section);
  std::string distances = section.table("distances");
  if (auto fits = expect_heads(section, heads); !fits) return fits.error();
  const value_shape& input = section.inputs[0];
  auto made = std::make_unique<hstu_layer>(input, heads, mask, longest_list(section, *input.list));
  made->parameters = {{std::move(distances), heads, 2 * made->distance() + 1, 0.0F}};
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
