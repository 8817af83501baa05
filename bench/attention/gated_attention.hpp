#pragma once

#include "bench/attention/own_attention.hpp"

#include <cstdint>
#include <vector>

namespace headrace::bench {

/// Attention behind head_gate: the gate scores each sequence from x [tokens, heads * head_dim], the
/// heads it opens attend, and backward gives the gate its gradient Σ d_o ⊙ o. Each thread gates a
/// part of the sequences.
class gated_attention {
 public:
  /// The threshold lets ⌊share * pairs⌋ pairs of sequence and head through.
  gated_attention(const own_attention_shape& shape, double share, unsigned threads);

  void forward();
  void backward();  // after forward

  /// Of the pairs, in the last forward.
  double active_share() const;
  const own_attention& heads() const { return heads_; }

 private:
  void gate(unsigned thread);
  void gate_backward(unsigned thread);

  own_attention heads_;
  float threshold_ = 0;
  std::vector<std::uint32_t> offsets_;
  std::vector<float> x_;
  std::vector<float> weights_;
  std::vector<float> means_;
  std::vector<float> scores_;
  std::vector<std::uint8_t> active_;
  std::vector<float> gate_gradients_;
  std::vector<float> dx_;
  std::vector<std::vector<float>> weight_gradients_;  // by thread
};

}  // namespace headrace::bench
