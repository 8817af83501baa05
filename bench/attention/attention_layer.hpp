#pragma once

#include "bench/torch/layer.hpp"
#include "kernels/attention/attention.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::bench {

struct attention_shape {
  std::size_t batch = 32;  // sequences
  std::size_t seq = 200;   // tokens of each
  std::size_t dim = 64;    // a multiple of heads
  std::size_t heads = 4;
};

/// FLOP of a step: 8 B S D² for the projections and 4 B S² D for scores and values, and twice as
/// much backward (notes: baselines §3d).
double attention_flop(const attention_shape& shape);

/// [q k v] = x W_qkv; o = softmax(q kᵀ / √(dim / heads)) v, head by head; y = o W_o. Backward from
/// dy to dx, dW_qkv and dW_o. Each thread has a part of the sequences, which it takes one at a
/// time; its gradients of the weights are added up in the order of threads, so the number of
/// threads moves their last bits and nothing else.
class attention_layer final : public layer {
 public:
  /// Everything is drawn from `seed`: x and dy uniform in ±1, weights in ±√(3 / dim).
  attention_layer(const attention_shape& shape, unsigned threads, std::uint64_t seed = 7);

  void step() override;
  std::vector<layer_tensor> inputs() const override;
  std::vector<layer_tensor> outputs() const override;

 private:
  /// What one thread works in.
  struct part {
    std::vector<float> d_o;   // of a sequence
    std::vector<float> dqkv;  // of a sequence
    std::vector<float> dw_qkv;
    std::vector<float> dw_o;
    std::vector<float> products;
    std::vector<float> attention;
  };

  void forward(part& mine, std::size_t sequence);
  void backward(part& mine, std::size_t sequence);
  kernels::attention_args attention_of(std::size_t sequence);
  void add_up();

  attention_shape shape_;
  std::vector<std::uint32_t> offsets_;  // of one sequence
  std::vector<float> x_;
  std::vector<float> dy_;
  std::vector<float> w_qkv_;
  std::vector<float> w_o_;
  std::vector<float> qkv_;
  std::vector<float> o_;
  std::vector<float> lse_;
  std::vector<float> y_;
  std::vector<float> dx_;
  std::vector<part> parts_;  // the first one's gradients are the sums
};

}  // namespace headrace::bench
