#include "kernels/decode_attention/check_args.hpp"
#include "kernels/decode_attention/decode_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace headrace::kernels {
namespace {

/// One head of one sequence over the slots [begin, end).
template <class Value>
void attend(const basic_decode_attention_args<Value>& args,
            std::size_t sequence,
            std::size_t head) {
  const std::size_t dim = args.cache.head_dim;
  const std::size_t kv_head = head / (args.heads / args.cache.kv_heads);
  const std::size_t row = sequence * args.heads + head;
  const std::size_t end = std::min(args.slots_end, args.cache.live(args.lengths[sequence]));
  std::vector<double> scores;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t slot = args.slots_begin; slot < end; ++slot) {
    const std::size_t key = args.cache.at(sequence, kv_head, slot);
    double score = 0.0;
    for (std::size_t c = 0; c < dim; ++c)
      score += static_cast<double>(args.q[row * dim + c]) * static_cast<double>(args.keys[key + c]);
    scores.push_back(static_cast<double>(args.scale) * score);
    largest = std::max(largest, scores.back());
  }
  double sum = 0.0;
  std::vector<double> o(dim);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double weight = std::exp(scores[i] - largest);
    const std::size_t value = args.cache.at(sequence, kv_head, args.slots_begin + i);
    sum += weight;
    for (std::size_t c = 0; c < dim; ++c)
      o[c] += weight * static_cast<double>(args.values[value + c]);
  }
  args.lse[row] = static_cast<Value>(scores.empty() ? largest : largest + std::log(sum));
  for (std::size_t c = 0; c < dim; ++c)
    args.o[row * dim + c] = static_cast<Value>(scores.empty() ? 0.0 : o[c] / sum);
}

template <class Value>
void decode(const basic_decode_attention_args<Value>& args) {
  check_decode_attention(args);
  for (std::size_t s = 0; s < args.cache.sequences; ++s) {
    for (std::size_t h = 0; h < args.heads; ++h) attend(args, s, h);
  }
}

template <class Value>
void merge(const basic_merge_attention_args<Value>& args) {
  check_merge_attention(args);
  for (std::size_t row = 0; row < args.lse.size(); ++row) {
    const double one = static_cast<double>(args.lse[row]);
    const double other = static_cast<double>(args.other_lse[row]);
    const double largest = std::max(one, other);
    const bool nothing = std::isinf(largest) && largest < 0.0;
    const double one_weight = nothing ? 0.0 : std::exp(one - largest);
    const double other_weight = nothing ? 0.0 : std::exp(other - largest);
    const double sum = one_weight + other_weight;
    args.lse[row] = static_cast<Value>(nothing ? largest : largest + std::log(sum));
    for (std::size_t i = row * args.dim; i < (row + 1) * args.dim; ++i) {
      const double mixed = one_weight * static_cast<double>(args.o[i]) +
                           other_weight * static_cast<double>(args.other_o[i]);
      args.o[i] = static_cast<Value>(nothing ? 0.0 : mixed / sum);
    }
  }
}

}  // namespace

void decode_attention_ref(const decode_attention_args& args) { decode(args); }
void decode_attention_ref(const basic_decode_attention_args<double>& args) { decode(args); }
void merge_attention_ref(const merge_attention_args& args) { merge(args); }
void merge_attention_ref(const basic_merge_attention_args<double>& args) { merge(args); }

}  // namespace headrace::kernels
