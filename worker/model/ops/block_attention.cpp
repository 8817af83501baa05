#include "kernels/block_attention/block_attention.hpp"

#include "worker/model/ops/arena_parts.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/list_mask.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

// Attention within blocks of a list's ids and across the blocks' means
// (kernels/block_attention/block_attention.hpp). Input as attention's.
class block_attention_layer final : public layer {
 public:
  block_attention_layer(const value_shape& input,
                        std::size_t head_count,
                        bool causal,
                        std::size_t block,
                        std::size_t longest)
      : units_(input.columns() / 3),
        heads_(head_count),
        causal_(causal),
        block_(block),
        longest_(longest) {
    output = {.fields = 1, .dim = units_, .list = input.list};
  }
  std::size_t chunk_saved(const chunk_size& size) const override {
    return needs(size.tokens, size.samples).saved;
  }
  std::size_t chunk_workspace(const chunk_size& size) const override {
    const auto room = needs(size.tokens, size.samples);
    return room.workspace + room.words;
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t tokens) const override {
    // Of lists as long as the job has them, without what is hidden.
    const auto near = static_cast<double>(std::min(block_, longest_));
    const auto far = static_cast<double>(longest_) / (near * near);
    const double pairs = static_cast<double>(tokens) * (near + far) * (causal_ ? 0.5 : 1.0);
    const double forward = 4.0 * pairs * static_cast<double>(units_);
    return {forward, 2.5 * forward};
  }

  double forward(const layer_run& run) const override {
    kernels::block_attention(args_of(run));
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.samples == 0) return;
    float* const gradient = run.input_gradients[0].data();
    kernels::block_attention_backward({.forward = args_of(run),
                                       .d_o = run.output_gradient.data(),
                                       .d_o_stride = units_,
                                       .dq = gradient,
                                       .dq_stride = 3 * units_,
                                       .dk = gradient + units_,
                                       .dk_stride = 3 * units_,
                                       .dv = gradient + 2 * units_,
                                       .dv_stride = 3 * units_});
  }

 private:
  // A list may be as long as the chunk.
  kernels::block_attention_room needs(std::size_t tokens, std::size_t lists) const {
    return kernels::block_attention_needs(
        tokens, lists, tokens, heads_, heads_, units_ / heads_, block_);
  }
  kernels::block_attention_args args_of(const layer_run& run) const {
    const auto room = needs(run.samples, run.offsets.size() - 1);
    arena_parts parts(run.workspace);
    kernels::block_attention_args args;
    args.q = run.inputs[0].data();
    args.k = args.q + units_;
    args.v = args.q + 2 * units_;
    args.q_stride = args.k_stride = args.v_stride = 3 * units_;
    args.offsets = run.offsets;
    args.heads = args.kv_heads = heads_;
    args.head_dim = units_ / heads_;
    args.scale = 1.0F / std::sqrt(static_cast<float>(args.head_dim));
    args.causal = causal_;
    args.block = block_;
    args.o = run.output.data();
    args.o_stride = units_;
    args.saved = run.saved;
    args.words = parts.words(room.words);
    args.workspace = parts.floats(room.workspace);
    return args;
  }

  std::size_t units_;
  std::size_t heads_;
  bool causal_;
  std::size_t block_;
  std::size_t longest_;
};

}  // namespace

result<std::unique_ptr<layer>> make_block_attention(const layer_section& section) {
  const auto heads = read_heads(section);
  const bool causal = section.config.flag(section.key("causal"), true);
  const auto block = section.config.optional_whole(section.key("block"), {1, 4096});
  if (auto fits = expect_heads(section, heads); !fits) return fits.error();
  if (!block) return error{errc::bad_config, "block is missing: ids of a block, 1 … 4096"};
  const value_shape& input = section.inputs[0];
  return std::unique_ptr<layer>(std::make_unique<block_attention_layer>(
      input, heads, causal, static_cast<std::size_t>(*block), longest_list(section, *input.list)));
}

}  // namespace headrace::worker
