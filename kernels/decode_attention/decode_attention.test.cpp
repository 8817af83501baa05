#include "kernels/decode_attention/decode_attention.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr double infinity = std::numeric_limits<double>::infinity();

struct decode_shape {
  kv_cache_shape cache;
  std::size_t group = 1;  // heads of a key head
  double scale = 0.5;

  std::size_t heads() const { return group * cache.kv_heads; }
};

template <class Value>
struct decode_result {
  explicit decode_result(const decode_shape& shape)
      : o(shape.cache.sequences * shape.heads() * shape.cache.head_dim,
          std::numeric_limits<Value>::quiet_NaN()),
        lse(shape.cache.sequences * shape.heads(), std::numeric_limits<Value>::quiet_NaN()) {}

  misaligned<Value> o;
  misaligned<Value> lse;
};

template <class Value>
struct decode_case {
  decode_case(const decode_shape& s, std::uint64_t seed)
      : shape(s),
        q(s.cache.sequences * s.heads() * s.cache.head_dim),
        keys(s.cache.size()),
        values(s.cache.size()) {
    random_stream random(seed);
    for (misaligned<Value>* buffer : {&q, &keys, &values}) {
      for (Value& value : buffer->span()) value = static_cast<Value>(next_signed(random));
    }
    for (std::size_t i = 0; i < s.cache.sequences; ++i) {
      const std::size_t some = random.next_below(s.cache.slots() + 3);
      lengths.push_back(static_cast<std::uint32_t>(i % 3 == 1 ? some : 3 * s.cache.slots() * i));
    }
  }
  template <class Other>
  explicit decode_case(const decode_case<Other>& other)
      : shape(other.shape),
        q(other.q.span().size()),
        keys(other.keys.span().size()),
        values(other.values.span().size()),
        lengths(other.lengths) {
    std::copy(other.q.span().begin(), other.q.span().end(), q.span().begin());
    std::copy(other.keys.span().begin(), other.keys.span().end(), keys.span().begin());
    std::copy(other.values.span().begin(), other.values.span().end(), values.span().begin());
  }

  template <class Op>
  decode_result<Value> run(const Op& op, std::size_t begin = 0, std::size_t end = 1000) const {
    decode_result<Value> out(shape);
    op(basic_decode_attention_args<Value>{.cache = shape.cache,
                                          .q = q.span(),
                                          .keys = keys.span(),
                                          .values = values.span(),
                                          .lengths = lengths,
                                          .heads = shape.heads(),
                                          .scale = static_cast<Value>(shape.scale),
                                          .slots_begin = begin,
                                          .slots_end = end,
                                          .o = out.o.span(),
                                          .lse = out.lse.span()});
    return out;
  }

  decode_shape shape;
  misaligned<Value> q;
  misaligned<Value> keys;
  misaligned<Value> values;
  std::vector<std::uint32_t> lengths;
};

constexpr auto reference = [](const auto& args) { decode_attention_ref(args); };
constexpr auto merge_reference = [](const auto& args) { merge_attention_ref(args); };

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t window : {1U, 3U, 63U, 64U, 65U, 131U}) {
    for (const std::size_t dim : {0U, 1U, 3U, 4U, 7U, 8U, 15U, 17U, 64U, 65U, 130U}) {
      const std::size_t pinned = (window + dim) % 6;
      const std::size_t group = dim == 17 ? 17 : 1 + dim % 4;
      const decode_shape shape = {.cache = {.sequences = 4,
                                            .kv_heads = 1 + window % 2,
                                            .head_dim = dim,
                                            .pinned = pinned,
                                            .window = window},
                                  .group = group,
                                  .scale = dim == 8 ? 3.0 : 0.25};
      SCOPED_TRACE("window " + std::to_string(window) + ", pinned " + std::to_string(pinned) +
                   ", head_dim " + std::to_string(dim) + ", group " + std::to_string(group));
      check(decode_case<float>(shape, test_seed() + 1000 * window + dim));
    }
  }
}

/// The header's bounds, for one head of one sequence over the slots [begin, end).
struct decode_bounds {
  decode_bounds(const decode_case<float>& one, std::size_t row, std::size_t begin, std::size_t end)
      : slots(static_cast<double>(end - begin)), values(one.shape.cache.head_dim) {
    const std::size_t dim = one.shape.cache.head_dim;
    const std::size_t sequence = row / one.shape.heads();
    const std::size_t head = row % one.shape.heads() / one.shape.group;
    std::vector<double> scores;
    double delta = 0.0;
    double sum = 0.0;
    for (std::size_t slot = begin; slot < end; ++slot) {
      const std::size_t key = one.shape.cache.at(sequence, head, slot);
      double score = 0.0;
      double terms = 0.0;
      for (std::size_t c = 0; c < dim; ++c) {
        const double term = one.shape.scale * static_cast<double>(one.q.span()[row * dim + c]) *
                            static_cast<double>(one.keys.span()[key + c]);
        score += term;
        terms += std::abs(term);
      }
      scores.push_back(std::exp(score));
      sum += scores.back();
      delta = std::max(delta, static_cast<double>(dim + 8) * unit_roundoff * terms);
    }
    relative = 2.1 * delta + (slots + 40.0) * unit_roundoff;
    for (std::size_t slot = begin; slot < end; ++slot) {
      const std::size_t value = one.shape.cache.at(sequence, head, slot);
      for (std::size_t c = 0; c < dim; ++c) {
        const double v = std::abs(static_cast<double>(one.values.span()[value + c]));
        values[c] += scores[slot - begin] / sum * v;
      }
    }
  }
  double slots;
  double relative = 0.0;
  std::vector<double> values;  // Σ p |v|
};

void expect_in_bound(const decode_case<float>& one,
                     const decode_result<double>& exact,
                     const decode_result<float>& got) {
  const std::size_t dim = one.shape.cache.head_dim;
  for (std::size_t row = 0; row < exact.lse.span().size(); ++row) {
    const std::size_t length = one.lengths[row / one.shape.heads()];
    const decode_bounds bounds(one, row, 0, one.shape.cache.live(length));
    const double lse = exact.lse.span()[row];
    const double got_lse = static_cast<double>(got.lse.span()[row]);
    if (length == 0) {
      ASSERT_EQ(got_lse, -infinity) << "row " << row;
    } else {
      ASSERT_LE(std::abs(got_lse - lse), bounds.relative + 2.0 * unit_roundoff * std::abs(lse));
    }
    for (std::size_t c = 0; c < dim; ++c) {
      const double error =
          static_cast<double>(got.o.span()[row * dim + c]) - exact.o.span()[row * dim + c];
      ASSERT_LE(std::abs(error), bounds.relative * bounds.values[c])
          << "row " << row << ", column " << c;
    }
  }
}

TEST(DecodeAttention, StaysWithinItsBoundsOfTheExactResult) {
  for_each_cpu_target([] {
    for_each_case([](const decode_case<float>& one) {
      const decode_result<double> exact = decode_case<double>(one).run(reference);
      expect_in_bound(one, exact, one.run(decode_attention_cpu));
      expect_in_bound(one, exact, one.run(reference));
    });
  });
}

TEST(DecodeAttention, GivesTheSameBitsTwice) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](const decode_case<float>& one) {
        decode_result<float> first = one.run(decode_attention_cpu);
        decode_result<float> second = one.run(decode_attention_cpu);
        ASSERT_TRUE(same_bits(first.o.span(), second.o.span()));
        ASSERT_TRUE(same_bits(first.lse.span(), second.lse.span()));
      });
    });
  });
}

/// Row `length - 1` of causal attention over a whole history, in double: window and pinned tokens
/// by position.
std::vector<double> last_row(const std::vector<std::vector<double>>& keys,
                             const std::vector<std::vector<double>>& values,
                             std::span<const double> q,
                             const kv_cache_shape& shape) {
  std::vector<double> o(shape.head_dim);
  double sum = 0.0;
  for (std::size_t p = 0; p < keys.size(); ++p) {
    if (p >= shape.pinned && keys.size() - 1 - p >= shape.window) continue;
    double score = 0.0;
    for (std::size_t c = 0; c < shape.head_dim; ++c) score += q[c] * keys[p][c];
    sum += std::exp(score);
    for (std::size_t c = 0; c < shape.head_dim; ++c) o[c] += std::exp(score) * values[p][c];
  }
  for (double& value : o) value /= sum;
  return o;
}

TEST(DecodeAttention, SeesPinnedTokensAndTheWindowAsTheRingGoesRound) {
  random_stream random(test_seed());
  for (const std::size_t pinned : {0U, 2U, 5U}) {
    for (const std::size_t window : {1U, 3U, 4U}) {
      const kv_cache_shape shape = {
          .sequences = 2, .kv_heads = 1, .head_dim = 3, .pinned = pinned, .window = window};
      decode_case<double> one({.cache = shape, .scale = 1.0}, test_seed());
      std::vector<std::vector<double>> keys;
      std::vector<std::vector<double>> values;
      for (std::size_t length = 1; length <= 3 * shape.slots(); ++length) {
        const auto draw = [&random](std::vector<std::vector<double>>& to,
                                    std::span<double> cache,
                                    const kv_cache_shape& where) {
          to.emplace_back();
          for (int c = 0; c < 3; ++c)
            to.back().push_back(static_cast<double>(next_signed(random, 2.0F)));
          put_token<double>(where, 1, to.size() - 1, to.back(), cache);
        };
        draw(keys, one.keys.span(), shape);
        draw(values, one.values.span(), shape);
        one.lengths = {0, static_cast<std::uint32_t>(length)};
        const decode_result<double> got = one.run(reference);
        const std::vector<double> wanted = last_row(keys, values, one.q.span().subspan(3), shape);
        for (std::size_t c = 0; c < 3; ++c) {
          ASSERT_NEAR(got.o.span()[3 + c], wanted[c], 1e-12)
              << pinned << " pinned, window " << window << ", length " << length;
        }
      }
    }
  }
}

template <class Value, class Decode, class Merge>
decode_result<Value> in_two_parts(const decode_case<Value>& one,
                                  std::size_t cut,
                                  const Decode& decode,
                                  const Merge& merge) {
  decode_result<Value> first = one.run(decode, 0, cut);
  const decode_result<Value> second = one.run(decode, cut);
  merge(basic_merge_attention_args<Value>{.o = first.o.span(),
                                          .lse = first.lse.span(),
                                          .other_o = second.o.span(),
                                          .other_lse = second.lse.span(),
                                          .dim = one.shape.cache.head_dim});
  return first;
}

TEST(MergeAttention, OfTwoRangesEqualsTheWhole) {
  for_each_case([](const decode_case<float>& one) {
    const decode_case<double> wide(one);
    const decode_result<double> exact = wide.run(reference);
    const std::size_t cut = one.shape.cache.pinned + one.shape.cache.window / 3;
    const decode_result<double> merged = in_two_parts(wide, cut, reference, merge_reference);
    for (std::size_t i = 0; i < exact.o.span().size(); ++i)
      ASSERT_NEAR(merged.o.span()[i], exact.o.span()[i], 1e-12);
    for (std::size_t i = 0; i < exact.lse.span().size(); ++i) {
      if (exact.lse.span()[i] != -infinity) {
        ASSERT_NEAR(merged.lse.span()[i], exact.lse.span()[i], 1e-12);
      } else {
        ASSERT_EQ(merged.lse.span()[i], -infinity);
      }
    }
  });
}

TEST(MergeAttention, StaysWithinItsBoundsOfTheExactResult) {
  for_each_cpu_target([] {
    for_each_case([](const decode_case<float>& one) {
      const std::size_t dim = one.shape.cache.head_dim;
      const std::size_t cut = one.shape.cache.pinned + one.shape.cache.window / 3;
      const decode_result<float> first = one.run(decode_attention_cpu, 0, cut);
      const decode_result<float> second = one.run(decode_attention_cpu, cut);
      const decode_result<float> got =
          in_two_parts(one, cut, decode_attention_cpu, merge_attention_cpu);
      for (std::size_t row = 0; row < got.lse.span().size(); ++row) {
        const double a = static_cast<double>(first.lse.span()[row]);
        const double b = static_cast<double>(second.lse.span()[row]);
        const bool nothing = a == -infinity && b == -infinity;
        const double lse =
            nothing ? -infinity : std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
        const double apart = std::isinf(a) || std::isinf(b) ? 0.0 : std::abs(a - b);
        const double epsilon = unit_roundoff * (8.0 + apart);
        const double got_lse = static_cast<double>(got.lse.span()[row]);
        if (nothing) {
          ASSERT_EQ(got_lse, -infinity);
        } else {
          ASSERT_LE(std::abs(got_lse - lse), epsilon + 2.0 * unit_roundoff * std::abs(lse));
        }
        for (std::size_t i = row * dim; i < (row + 1) * dim; ++i) {
          const double x = static_cast<double>(first.o.span()[i]);
          const double y = static_cast<double>(second.o.span()[i]);
          const double exact = nothing ? 0.0 : std::exp(a - lse) * x + std::exp(b - lse) * y;
          ASSERT_LE(std::abs(static_cast<double>(got.o.span()[i]) - exact),
                    epsilon * (std::abs(x) + std::abs(y)))
              << "row " << row;
        }
      }
    });
  });
}

/// Scores of 0 and ln 3: weights of 1/4 and 3/4.
TEST(DecodeAttention, ComputesASmallCaseByHand) {
  const std::array<float, 1> q = {static_cast<float>(std::log(3.0))};
  const std::array<float, 2> keys = {0.0F, 1.0F};
  const std::array<float, 2> values = {8.0F, -4.0F};
  const std::array<std::uint32_t, 1> lengths = {7};
  for_each_cpu_target([&] {
    std::array<float, 1> o{};
    std::array<float, 1> lse{};
    decode_attention_cpu({.cache = {.sequences = 1, .kv_heads = 1, .head_dim = 1, .window = 2},
                          .q = q,
                          .keys = keys,
                          .values = values,
                          .lengths = lengths,
                          .heads = 1,
                          .o = o,
                          .lse = lse});
    EXPECT_NEAR(o[0], -1.0F, 1e-6F);
    EXPECT_NEAR(lse[0], std::log(4.0F), 1e-6F);
  });
}

TEST(DecodeAttention, PicksTheLargestOfScoresFarApartAndNeverReadsUnusedSlots) {
  const std::array<float, 1> q = {1e15F};
  std::array<float, 200> keys{};
  std::array<float, 200> values{};
  keys.fill(std::numeric_limits<float>::quiet_NaN());
  values.fill(std::numeric_limits<float>::quiet_NaN());
  for (std::size_t slot = 0; slot < 100; ++slot) {
    keys[slot] = slot == 70 ? 1e15F : -1e15F * static_cast<float>(slot);
    values[slot] = static_cast<float>(slot);
  }
  const std::array<std::uint32_t, 1> lengths = {100};
  for_each_cpu_target([&] {
    std::array<float, 1> o{};
    std::array<float, 1> lse{};
    decode_attention_cpu({.cache = {.sequences = 1, .kv_heads = 1, .head_dim = 1, .window = 200},
                          .q = q,
                          .keys = keys,
                          .values = values,
                          .lengths = lengths,
                          .heads = 1,
                          .scale = 0.01F,
                          .o = o,
                          .lse = lse});
    EXPECT_EQ(o[0], 70.0F);
    EXPECT_NEAR(lse[0], 1e28F, 1e22F);
  });
}

TEST(DecodeAttention, RefusesACacheOfTheWrongSize) {
  decode_case<float> one({.cache = {.sequences = 1, .kv_heads = 1, .head_dim = 2, .window = 4}},
                         test_seed());
  one.keys = misaligned<float>(7);
  EXPECT_DEATH(one.run(decode_attention_cpu), "keys");
}

}  // namespace
}  // namespace headrace::kernels
