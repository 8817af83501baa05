#pragma once

#include "kernels/attention/attention.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::bench {

/// Attention alone, without projections: to be compared with itself under another mask or gate.
struct own_attention_shape {
  std::size_t batch = 1;  // sequences
  std::size_t seq = 1;    // tokens of each
  std::size_t heads = 1;
  std::size_t head_dim = 1;
  kernels::attention_mask mask = {};
};

/// q, k, v and d_o uniform in ±1 from `seed`, the scale 1 / √head_dim. Threads take pairs of
/// sequence and head one after the other, whoever is free; no bit depends on who did.
class own_attention {
 public:
  own_attention(const own_attention_shape& shape, unsigned threads, std::uint64_t seed = 7);

  void forward();
  void backward();  // after forward

  /// [sequences, heads], as attention takes it, read at each call; empty: all.
  void set_active(std::span<const std::uint8_t> active) { active_ = active; }
  const own_attention_shape& shape() const { return shape_; }
  unsigned threads() const { return static_cast<unsigned>(workspaces_.size()); }
  std::span<const float> o() const { return o_; }
  std::span<const float> d_o() const { return d_o_; }
  /// Of q, k and v, in the order of their buffer.
  std::span<const float> gradients() const { return gradients_; }

 private:
  template <class Work>
  void for_each_pair(const Work& work);
  kernels::attention_args args_of(std::size_t pair, unsigned thread);

  own_attention_shape shape_;
  std::vector<std::uint32_t> offsets_;  // of one sequence
  std::span<const std::uint8_t> active_;
  std::vector<float> qkv_;
  std::vector<float> d_o_;
  std::vector<float> o_;
  std::vector<float> lse_;  // by pair
  std::vector<float> gradients_;
  std::vector<std::vector<float>> workspaces_;  // by thread
};

}  // namespace headrace::bench
