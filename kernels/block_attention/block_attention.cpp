#include "kernels/block_attention/block_attention.hpp"

#include "base/check.hpp"
#include "kernels/attention/attention.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

/// Blocks of so many tokens in so many sequences at most.
std::size_t blocks_max(std::size_t tokens, std::size_t sequences, std::size_t block) {
  return std::min(tokens, tokens / block + sequences);
}

/// Where blocks begin and end: as sequences of tokens, and as items of the sequences they are in.
struct block_map {
  std::span<std::uint32_t> tokens;  // [blocks + 1]
  std::span<std::uint32_t> blocks;  // [sequences + 1]

  std::size_t count() const { return tokens.size() - 1; }
};

template <class Value>
block_map map_blocks(const basic_block_attention_args<Value>& args) {
  const std::size_t sequences = args.offsets.size() - 1;
  const auto blocks = args.words.first(sequences + 1);
  const auto tokens = args.words.subspan(sequences + 1);
  std::uint32_t count = 0;
  for (std::size_t s = 0; s < sequences; ++s) {
    blocks[s] = count;
    for (std::size_t t = args.offsets[s]; t < args.offsets[s + 1]; t += args.block)
      tokens[count++] = static_cast<std::uint32_t>(t);
  }
  blocks[sequences] = count;
  tokens[count] = args.offsets.back();
  return {tokens.first(count + 1), blocks};
}

/// The block whose summary the tokens of block b read, or none.
constexpr std::size_t none = static_cast<std::size_t>(-1);
std::size_t far_block(std::size_t b, std::size_t first_of_sequence, bool causal) {
  if (!causal) return b;
  return b == first_of_sequence ? none : b - 1;
}

/// Calls visit(block, far block or none) for each block in order.
template <class Visit>
void for_each_block(const block_map& map, bool causal, const Visit& visit) {
  for (std::size_t s = 0; s + 1 < map.blocks.size(); ++s)
    for (std::size_t b = map.blocks[s]; b < map.blocks[s + 1]; ++b)
      visit(b, far_block(b, map.blocks[s], causal));
}

template <class Value>
struct saved_parts {
  saved_parts(const basic_block_attention_args<Value>& args, std::size_t blocks)
      : width(args.heads * args.head_dim) {
    const std::size_t tokens = args.offsets.back();
    auto rest = args.saved;
    const auto take = [&rest](std::size_t n) {
      const auto part = rest.first(n);
      rest = rest.subspan(n);
      return part;
    };
    near = take(tokens * width);
    near_lse = take(tokens * args.heads);
    far = take(blocks * width);
    far_lse = take(blocks * args.heads);
  }
  std::size_t width;
  std::span<Value> near, near_lse, far, far_lse;
};

/// Means over the tokens of each block: queries, keys and values of a block side by side.
template <class Value>
class summaries {
 public:
  summaries(const basic_block_attention_args<Value>& args, std::span<Value>& room, std::size_t n)
      : q_(args.heads * args.head_dim), kv_(args.kv_heads * args.head_dim) {
    values_ = room.first(n * stride());
    room = room.subspan(n * stride());
  }
  std::size_t stride() const { return q_ + 2 * kv_; }
  Value* q() const { return values_.data(); }
  Value* k() const { return q() + q_; }
  Value* v() const { return k() + kv_; }

  void take(const basic_block_attention_args<Value>& args, const block_map& map) const {
    for (std::size_t b = 0; b < map.count(); ++b) {
      mean(args.q, args.q_stride, q_, map, b, q());
      mean(args.k, args.k_stride, kv_, map, b, k());
      mean(args.v, args.v_stride, kv_, map, b, v());
    }
  }
  /// Adds to the gradients of the tokens what comes of those of the means, which these are.
  void give(const basic_block_attention_backward_args<Value>& args, const block_map& map) const {
    for (std::size_t b = 0; b < map.count(); ++b) {
      spread(q(), map, b, q_, args.dq, args.dq_stride);
      spread(k(), map, b, kv_, args.dk, args.dk_stride);
      spread(v(), map, b, kv_, args.dv, args.dv_stride);
    }
  }

 private:
  void mean(const Value* from,
            std::size_t from_stride,
            std::size_t width,
            const block_map& map,
            std::size_t b,
            Value* to) const {
    Value* const sum = to + b * stride();
    std::fill_n(sum, width, Value{0});
    for (std::size_t t = map.tokens[b]; t < map.tokens[b + 1]; ++t)
      for (std::size_t c = 0; c < width; ++c) sum[c] += from[t * from_stride + c];
    for (std::size_t c = 0; c < width; ++c) sum[c] *= share(map, b);
  }
  void spread(const Value* from,
              const block_map& map,
              std::size_t b,
              std::size_t width,
              Value* to,
              std::size_t to_stride) const {
    for (std::size_t t = map.tokens[b]; t < map.tokens[b + 1]; ++t)
      for (std::size_t c = 0; c < width; ++c)
        to[t * to_stride + c] += from[b * stride() + c] * share(map, b);
  }
  static Value share(const block_map& map, std::size_t b) {
    return Value{1} / static_cast<Value>(map.tokens[b + 1] - map.tokens[b]);
  }

  std::size_t q_;
  std::size_t kv_;
  std::span<Value> values_;
};

template <class Value>
basic_attention_args<Value> near_args(const basic_block_attention_args<Value>& args,
                                      const block_map& map,
                                      const saved_parts<Value>& saved) {
  basic_attention_args<Value> near;
  near.q = args.q;
  near.q_stride = args.q_stride;
  near.k = args.k;
  near.k_stride = args.k_stride;
  near.v = args.v;
  near.v_stride = args.v_stride;
  near.offsets = map.tokens;
  near.heads = args.heads;
  near.kv_heads = args.kv_heads;
  near.head_dim = args.head_dim;
  near.scale = args.scale;
  near.mask.causal = args.causal;
  near.o = saved.near.data();
  near.o_stride = saved.width;
  near.lse = saved.near_lse;
  return near;
}

template <class Value>
basic_attention_args<Value> far_args(const basic_block_attention_args<Value>& args,
                                     const block_map& map,
                                     const saved_parts<Value>& saved,
                                     const summaries<Value>& means) {
  basic_attention_args<Value> far = near_args(args, map, saved);
  far.q = means.q();
  far.k = means.k();
  far.v = means.v();
  far.q_stride = far.k_stride = far.v_stride = means.stride();
  far.offsets = map.blocks;
  far.o = saved.far.data();
  far.lse = saved.far_lse;
  return far;
}

template <class Value>
void check_sizes(const basic_block_attention_args<Value>& args) {
  CHECK(!args.offsets.empty());
  CHECK(args.block >= 1);
  CHECK(args.kv_heads > 0);
  const std::size_t blocks = blocks_max(args.offsets.back(), args.offsets.size() - 1, args.block);
  CHECK(args.words.size() >= blocks + 1 + args.offsets.size());
}

/// `attend`: attention, of one version or another.
template <class Value, class Attend>
void forward(const basic_block_attention_args<Value>& args, const Attend& attend) {
  check_sizes(args);
  const block_map map = map_blocks(args);
  const saved_parts<Value> saved(args, map.count());
  auto room = args.workspace;
  const summaries<Value> means(args, room, map.count());
  means.take(args, map);
  auto near = near_args(args, map, saved);
  near.workspace = room;
  attend(near);
  auto far = far_args(args, map, saved, means);
  far.workspace = room;
  attend(far);
  for_each_block(map, args.causal, [&](std::size_t b, std::size_t from) {
    for (std::size_t t = map.tokens[b]; t < map.tokens[b + 1]; ++t) {
      Value* const o = args.o + t * args.o_stride;
      const Value* const own = saved.near.data() + t * saved.width;
      const Value* const more = from == none ? nullptr : saved.far.data() + from * saved.width;
      for (std::size_t c = 0; c < saved.width; ++c)
        o[c] = more == nullptr ? own[c] : own[c] + more[c];
    }
  });
}

template <class Value, class Attend>
void backward(const basic_block_attention_backward_args<Value>& args, const Attend& attend) {
  const auto& given = args.forward;
  check_sizes(given);
  const block_map map = map_blocks(given);
  const saved_parts<Value> saved(given, map.count());
  auto room = given.workspace;
  const summaries<Value> means(given, room, map.count());
  const summaries<Value> gradients(given, room, map.count());
  const auto d_far = room.first(map.count() * saved.width);
  room = room.subspan(d_far.size());

  basic_attention_backward_args<Value> near;
  near.forward = near_args(given, map, saved);
  near.d_o = args.d_o;
  near.d_o_stride = args.d_o_stride;
  near.dq = args.dq;
  near.dq_stride = args.dq_stride;
  near.dk = args.dk;
  near.dk_stride = args.dk_stride;
  near.dv = args.dv;
  near.dv_stride = args.dv_stride;
  near.workspace = room;
  attend(near);

  std::fill(d_far.begin(), d_far.end(), Value{0});
  for_each_block(map, given.causal, [&](std::size_t b, std::size_t from) {
    if (from == none) return;
    for (std::size_t t = map.tokens[b]; t < map.tokens[b + 1]; ++t)
      for (std::size_t c = 0; c < saved.width; ++c)
        d_far[from * saved.width + c] += args.d_o[t * args.d_o_stride + c];
  });
  means.take(given, map);
  basic_attention_backward_args<Value> far;
  far.forward = far_args(given, map, saved, means);
  far.d_o = d_far.data();
  far.d_o_stride = saved.width;
  far.dq = gradients.q();
  far.dk = gradients.k();
  far.dv = gradients.v();
  far.dq_stride = far.dk_stride = far.dv_stride = gradients.stride();
  far.workspace = room;
  attend(far);
  gradients.give(args, map);
}

}  // namespace

block_attention_room block_attention_needs(std::size_t tokens,
                                           std::size_t sequences,
                                           std::size_t longest,
                                           std::size_t heads,
                                           std::size_t kv_heads,
                                           std::size_t head_dim,
                                           std::size_t block) {
  const std::size_t blocks = blocks_max(tokens, sequences, block);
  const std::size_t width = heads * head_dim;
  const std::size_t summary = width + 2 * kv_heads * head_dim;
  return {.saved = (tokens + blocks) * (width + heads),
          .workspace = blocks * (2 * summary + width) +
                       std::max(attention_workspace(head_dim),
                                attention_backward_workspace(head_dim, longest)),
          .words = blocks + sequences + 2};
}

void block_attention_ref(const block_attention_args& args) {
  forward(args, [](const auto& one) { attention_ref(one); });
}
void block_attention_ref(const basic_block_attention_args<double>& args) {
  forward(args, [](const auto& one) { attention_ref(one); });
}
void block_attention_cpu(const block_attention_args& args) {
  forward(args, [](const auto& one) { attention_cpu(one); });
}
void block_attention_backward_ref(const block_attention_backward_args& args) {
  backward(args, [](const auto& one) { attention_backward_ref(one); });
}
void block_attention_backward_ref(const basic_block_attention_backward_args<double>& args) {
  backward(args, [](const auto& one) { attention_backward_ref(one); });
}
void block_attention_backward_cpu(const block_attention_backward_args& args) {
  backward(args, [](const auto& one) { attention_backward_cpu(one); });
}

}  // namespace headrace::kernels
