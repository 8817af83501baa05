#pragma once

#include "bench/torch/layer.hpp"
#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::bench {

struct moe_shape {
  std::size_t tokens = 4'096;
  std::size_t dim = 256;
  std::size_t hidden = 1'024;
  std::size_t experts = 8;
  std::size_t per_token = 2;
};

/// FLOP of a step, experts' products alone: 4 T k D H forward and twice as much backward.
double moe_flop(const moe_shape& shape);

/// A mixture of experts: p = softmax(x W_router), the k largest renormalised are gates; y = Σ gate
/// relu(x W1_e) W2_e; no capacity, no auxiliary losses, as the baselines have it. Backward from dy
/// to dx, dW_router, dW1, dW2. Tokens are split across threads evenly, experts by load; only the
/// last bits of dW_router depend on the number of threads.
class moe_layer final : public layer {
 public:
  /// Everything is drawn from `seed`: x and dy uniform in ±1, weights in ±√(3 / rows). Tokens whose
  /// choice would hang on rounding are drawn again.
  moe_layer(const moe_shape& shape, unsigned threads, std::uint64_t seed = 7);

  void step() override;
  std::vector<layer_tensor> inputs() const override;
  std::vector<layer_tensor> outputs() const override;
  /// Assignments of each expert in the last step.
  const std::vector<std::uint32_t>& loads() const { return loads_; }

 private:
  /// What one thread works in.
  struct part {
    std::size_t first_token;
    std::size_t tokens;
    std::vector<std::size_t> experts;
    std::vector<float> dw_router;
    std::vector<float> products;
    std::vector<float> experts_space;
  };

  void draw_inputs(std::uint64_t seed);
  bool clear_choice(std::size_t token) const;
  void score(part& mine);
  void route();
  void share_experts();
  void forward();
  void backward();
  void gather(part& mine);
  void experts_forward(part& mine, std::size_t expert);
  void experts_backward(part& mine, std::size_t expert);
  void scatter(part& mine);
  void scatter_backward(part& mine);
  void gather_backward(part& mine);

  moe_shape shape_;
  kernels::ffn_sizes expert_sizes_;
  std::vector<float> x_;
  std::vector<float> dy_;
  std::vector<float> w_router_;
  std::vector<float> w1_;
  std::vector<float> w2_;
  std::vector<float> logits_;
  std::vector<float> probabilities_;
  std::vector<float> lse_;
  std::vector<float> means_;
  std::vector<float> gates_;
  std::vector<float> gate_gradients_;
  std::vector<float> logit_gradients_;
  std::vector<float> costs_;
  std::vector<std::uint32_t> chosen_;
  std::vector<std::uint32_t> routes_;
  std::vector<std::uint32_t> loads_;
  std::vector<std::uint32_t> places_;
  std::vector<std::uint32_t> offsets_;
  std::vector<float> rows_;    // [places, dim]: x by expert
  std::vector<float> hidden_;  // [places, hidden]
  std::vector<float> out_;     // [places, dim], then the gradients of both ends
  std::vector<float> y_;
  std::vector<float> dx_;
  std::vector<float> dw1_;
  std::vector<float> dw2_;
  std::vector<part> parts_;  // the first one's dw_router is the sum
};

}  // namespace headrace::bench
