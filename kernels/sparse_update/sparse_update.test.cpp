#include "kernels/sparse_update/sparse_update.hpp"

#include "kernels/runtime/test_cases.hpp"
#include "kernels/runtime/value_format.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr std::array rules = {update_rule::add,
                              update_rule::sgd,
                              update_rule::adagrad,
                              update_rule::momentum,
                              update_rule::rowwise_adagrad,
                              update_rule::adam,
                              update_rule::adamw,
                              update_rule::ftrl};
constexpr std::array formats = {
    value_format::fp32, value_format::int8, value_format::fp16, value_format::bf16};

struct update_options {
  std::size_t dim = 1;
  std::size_t rows = 1;
  update_rule rule = update_rule::add;
  value_format format = value_format::fp32;  // of the gradients
  std::size_t first_columns = 0;
  float l2 = 0.0F;
  float clip = 0.0F;
  bool apart = false;  // states elsewhere, not behind the weights
};

std::string describe(const update_options& options) {
  return "rule " + std::to_string(static_cast<int>(options.rule)) + ", dim " +
         std::to_string(options.dim) + ", rows " + std::to_string(options.rows) + ", format " +
         std::to_string(static_cast<int>(options.format)) + ", first columns " +
         std::to_string(options.first_columns) + ", l2 " + std::to_string(options.l2) + ", clip " +
         std::to_string(options.clip) + (options.apart ? ", states apart" : "");
}

bool counts_steps(update_rule rule) {
  return rule == update_rule::adam || rule == update_rule::adamw;
}

/// A table of misaligned rows in scattered order, and a push for it, hard values in both.
class update_case {
 public:
  update_case(const update_options& options, std::uint64_t seed)
      : options_(options),
        stride_(options.dim + std::max(options.dim, state_words(options.rule, options.dim))),
        table_(options.rows * stride_),
        gradients_(options.format == value_format::fp32 ? options.rows * options.dim : 0),
        codes_(options.format == value_format::int8 ? options.rows * options.dim : 0),
        scales_(options.format == value_format::int8 ? options.rows : 0),
        words_(value_bytes(options.format) == 2 ? options.rows * options.dim : 0) {
    random_stream random(seed);
    for (std::size_t r = 0; r < options.rows; ++r) draw_row(random, row(r));
    constexpr std::array non_finite = {infinity, -infinity, not_a_number};
    for (float& g : gradients_.span()) {
      g = random.next_below(16) == 0 ? non_finite[random.next_below(3)] : next_hard(random);
    }
    for (std::int8_t& code : codes_.span()) code = static_cast<std::int8_t>(random.next());
    for (std::uint16_t& scale : scales_.span()) scale = static_cast<std::uint16_t>(random.next());
    for (std::uint16_t& word : words_.span()) word = static_cast<std::uint16_t>(random.next());
  }

  /// The table after `update` of it: a copy, so that the case can be used again.
  template <class Update>
  misaligned<float> after(const Update& update) const {
    misaligned<float> table = table_;
    std::vector<float*> rows;
    std::vector<float*> states;
    for (std::size_t r = options_.rows; r > 0; --r) {  // not in the order of memory
      rows.push_back(table.span().data() + (r - 1) * stride_);
      if (options_.apart) states.push_back(rows.back() + options_.dim);
    }
    const bool halves = options_.format == value_format::fp16;
    const auto none = std::span<const std::uint16_t>();
    update(sparse_update_args{.rows = rows,
                              .states = states,
                              .dim = options_.dim,
                              .gradients = gradients_.span(),
                              .codes = codes_.span(),
                              .scales = scales_.span(),
                              .halves = halves ? words_.span() : none,
                              .brains = halves ? none : words_.span(),
                              .rule = options_.rule,
                              .rate = 0.05F,
                              .first_rate = 0.3F,
                              .first_columns = options_.first_columns,
                              .l2 = options_.l2,
                              .clip = options_.clip,
                              .momentum = 0.9F,
                              .beta1 = 0.9F,
                              .beta2 = 0.999F,
                              .weight_decay = 0.1F,
                              .ftrl_l1 = 0.25F,
                              .ftrl_l2 = 0.5F,
                              .ftrl_beta = 1.0F});
    return table;
  }
  /// Weights and state of all rows but for the words that count steps.
  bool is_float(std::size_t at) const {
    return !counts_steps(options_.rule) || at % stride_ != stride_ - 1;
  }

 private:
  float* row(std::size_t r) { return table_.span().data() + r * stride_; }

  void draw_row(random_stream& random, float* at) {
    const std::size_t dim = options_.dim;
    const std::size_t words = stride_ - dim;
    for (std::size_t c = 0; c < dim; ++c) {
      at[c] = next_hard(random, 4, weight_max);
      at[dim + c] = std::abs(next_hard(random, 4, weight_max));
    }
    for (std::size_t c = dim; c < words; ++c) {
      at[dim + c] = std::abs(next_hard(random, 4, weight_max));
    }
    if (options_.rule == update_rule::momentum || words > dim) {  // the first of them have signs
      for (std::size_t c = 0; c < dim; ++c) at[dim + c] *= c % 3 == 0 ? -1.0F : 1.0F;
    }
    constexpr std::array<std::uint32_t, 8> hard_steps = {
        0, 1, 2, 999, 1U << 20, 1U << 31, ~0U - 1U, ~0U};
    if (counts_steps(options_.rule)) {
      at[dim + words - 1] = std::bit_cast<float>(hard_steps[random.next_below(8)]);
    }
  }

  update_options options_;
  std::size_t stride_;
  misaligned<float> table_;
  misaligned<float> gradients_;
  misaligned<std::int8_t> codes_;
  misaligned<std::uint16_t> scales_;
  misaligned<std::uint16_t> words_;
};

void expect_same_bits_as_reference(const update_options& options) {
  SCOPED_TRACE(describe(options));
  const update_case one(options, test_seed() + options.dim);
  misaligned<float> wanted = one.after(sparse_update_ref);
  misaligned<float> got = one.after(sparse_update_cpu);
  ASSERT_TRUE(same_bits(got.span(), wanted.span()));
}

TEST(SparseUpdate, GivesTheBitsOfTheReferenceForEveryWidthRuleAndFormat) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t dim : test_dims()) {
        for (const update_rule rule : rules) {
          for (const value_format format : formats) {
            expect_same_bits_as_reference({.dim = dim,
                                           .rows = 13,
                                           .rule = rule,
                                           .format = format,
                                           .apart = format == value_format::int8});
          }
        }
      }
    });
  });
}

TEST(SparseUpdate, GivesTheBitsOfTheReferenceWithClipDecayAndFirstOrderColumns) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t dim : {std::size_t{1}, std::size_t{17}, std::size_t{33}}) {
        for (const update_rule rule : rules) {
          for (const std::size_t first : {std::size_t{1}, std::size_t{3}, std::size_t{300}}) {
            for (const float l2 : {0.0F, 0.01F, 3e38F}) {
              for (const float clip : {0.0F, 0.25F, 3e38F}) {
                expect_same_bits_as_reference(
                    {.dim = dim,
                     .rows = 11,
                     .rule = rule,
                     .format = clip == 0.25F ? value_format::int8 : value_format::fp32,
                     .first_columns = first,
                     .l2 = l2,
                     .clip = clip});
              }
            }
          }
        }
      }
    });
  });
}

TEST(SparseUpdate, GivesTheBitsOfTheReferenceForEveryNumberOfRows) {
  for_each_cpu_target([] {
    for (const std::size_t rows : test_counts()) {
      for (const update_rule rule : rules) {
        for (const value_format format : formats) {
          expect_same_bits_as_reference(
              {.dim = 33, .rows = rows, .rule = rule, .format = format, .apart = rows % 2 == 0});
        }
      }
    }
  });
}

std::uint64_t digest(std::span<const float> values) {
  std::uint64_t sum = 0;
  for (const float value : values) sum = mix64(sum ^ std::bit_cast<std::uint32_t>(value));
  return sum;
}

/// Frozen: a log written by one build is replayed by another, whatever its compiler, flags and
/// target.
TEST(SparseUpdate, KeepsTheBitsOfTheFirstRelease) {
  const float_mode mode;
  const auto digest_of = [](update_rule rule, value_format format) {
    const update_options options = {.dim = 65,
                                    .rows = 101,
                                    .rule = rule,
                                    .format = format,
                                    .first_columns = 1,
                                    .l2 = 0.01F,
                                    .clip = 0.5F};
    return digest(update_case(options, 1).after(sparse_update_cpu).span());
  };
  for_each_cpu_target([&] {
    EXPECT_EQ(digest_of(update_rule::add, value_format::fp32), 10541921263061588060U);
    EXPECT_EQ(digest_of(update_rule::sgd, value_format::fp32), 12315289244319749276U);
    EXPECT_EQ(digest_of(update_rule::adagrad, value_format::fp32), 14822532936958756993U);
    EXPECT_EQ(digest_of(update_rule::adagrad, value_format::int8), 18220489613978822065U);
    EXPECT_EQ(digest_of(update_rule::momentum, value_format::fp32), 6983292627750463491U);
    EXPECT_EQ(digest_of(update_rule::rowwise_adagrad, value_format::bf16), 18380318781767568045U);
    EXPECT_EQ(digest_of(update_rule::adam, value_format::fp16), 14879480666023153215U);
    EXPECT_EQ(digest_of(update_rule::adamw, value_format::int8), 4384769089216701727U);
    EXPECT_EQ(digest_of(update_rule::ftrl, value_format::fp32), 1646212583787852658U);
  });
}

/// What `update` makes of one row of one weight, with its accumulator.
struct scalar_row {
  float weight = 0.0F;
  float accumulator = 0.0F;
};
scalar_row updated(scalar_row row, float gradient, sparse_update_args args) {
  std::array<float, 2> memory = {row.weight, row.accumulator};
  const std::array<float*, 1> rows = {memory.data()};
  args.rows = rows;
  args.dim = 1;
  args.gradients = {&gradient, 1};
  sparse_update_ref(args);
  return {memory[0], memory[1]};
}

TEST(SparseUpdate, AddsTheGradientUnderTheRuleAdd) {
  EXPECT_EQ(
      updated({.weight = 1.5F}, 0.25F, {.rows = {}, .rule = update_rule::add, .rate = 9.0F}).weight,
      1.75F);
}

TEST(SparseUpdate, StepsAgainstTheGradientUnderSgd) {
  EXPECT_EQ(
      updated({.weight = 1.0F}, 2.0F, {.rows = {}, .rule = update_rule::sgd, .rate = 0.25F}).weight,
      0.5F);
}

TEST(SparseUpdate, DividesByTheRootOfTheSumOfSquaresUnderAdagrad) {
  const scalar_row row = updated({.weight = 1.0F, .accumulator = 5.0F},
                                 2.0F,
                                 {.rows = {}, .rule = update_rule::adagrad, .rate = 0.75F});
  EXPECT_EQ(row.accumulator, 9.0F);
  EXPECT_EQ(row.weight, 0.5F);  // 1 - 0.75 * 2 / 3
}

TEST(SparseUpdate, UsesTheFirstRateForFirstOrderColumnsOnly) {
  std::array<float, 3> row = {0.0F, 0.0F, 0.0F};
  const std::array<float, 3> gradients = {1.0F, 1.0F, 1.0F};
  const std::array<float*, 1> rows = {row.data()};
  sparse_update_ref({.rows = rows,
                     .dim = 3,
                     .gradients = gradients,
                     .rule = update_rule::sgd,
                     .rate = 0.5F,
                     .first_rate = 0.125F,
                     .first_columns = 1});
  EXPECT_EQ(row, (std::array{-0.125F, -0.5F, -0.5F}));
}

TEST(SparseUpdate, ClipsBeforeItAddsTheDecay) {
  const sparse_update_args args = {
      .rows = {}, .rule = update_rule::sgd, .rate = 1.0F, .l2 = 0.5F, .clip = 1.0F};
  EXPECT_EQ(updated({.weight = 2.0F}, 100.0F, args).weight, 0.0F);   // 2 - (1 + 0.5 * 2)
  EXPECT_EQ(updated({.weight = 2.0F}, -100.0F, args).weight, 2.0F);  // 2 - (-1 + 0.5 * 2)
}

TEST(SparseUpdate, CountsGradientsThatAreNotFiniteAsZero) {
  for (const float bad : {infinity, -infinity, not_a_number}) {
    for (const update_rule rule : {update_rule::add, update_rule::sgd, update_rule::adagrad}) {
      const scalar_row row = updated(
          {.weight = 1.5F, .accumulator = 2.0F}, bad, {.rows = {}, .rule = rule, .rate = 1.0F});
      EXPECT_EQ(row.weight, 1.5F);
      EXPECT_EQ(row.accumulator, 2.0F);
    }
  }
}

TEST(SparseUpdate, DequantizesCodesByTheirRowScale) {
  std::array<float, 4> memory{};
  const std::array<float*, 2> rows = {&memory[0], &memory[2]};
  const std::array<std::int8_t, 4> codes = {1, -127, 64, 0};
  const std::array<std::uint16_t, 2> scales = {0x3800, 0x4000};  // 0.5, 2
  sparse_update_ref({.rows = rows, .dim = 2, .codes = codes, .scales = scales});
  EXPECT_EQ(memory, (std::array{0.5F, -63.5F, 128.0F, 0.0F}));
}

TEST(SparseUpdate, KeepsTablesFiniteWhateverTheGradients) {
  for_each_cpu_target([] {
    random_stream random(test_seed());
    for (const update_rule rule : rules) {
      for (int round = 0; round < 20; ++round) {
        const update_options options = {.dim = 33,
                                        .rows = 7,
                                        .rule = rule,
                                        .format = formats[round % 4],
                                        .l2 = round % 3 == 0 ? -3e38F : 0.0F,
                                        .clip = round % 5 == 0 ? 3e38F : 0.0F};
        const update_case one(options, random.next());
        const misaligned<float> table = one.after(sparse_update_cpu);
        for (std::size_t i = 0; i < table.span().size(); ++i) {
          if (!one.is_float(i)) continue;
          ASSERT_LE(std::abs(table.span()[i]), weight_max) << describe(options);  // false for NaN
        }
      }
    }
  });
}

TEST(SparseUpdate, RefusesAPushOfTheWrongSize) {
  std::array<float, 2> memory{};
  const std::array<float*, 1> rows = {memory.data()};
  const std::array<float, 3> gradients{};
  EXPECT_DEATH(sparse_update_cpu({.rows = rows, .dim = 2, .gradients = gradients}), "gradients");
}

TEST(SparseUpdate, RefusesSettingsThatWouldMakeWeightsNoNumbers) {
  EXPECT_DEATH(sparse_update_cpu({.rows = {}, .rule = update_rule::adam, .beta2 = 1.0F}), "beta2");
  EXPECT_DEATH(sparse_update_cpu({.rows = {}, .rule = update_rule::adamw, .beta1 = -0.1F}),
               "beta1");
  EXPECT_DEATH(sparse_update_cpu({.rows = {}, .rule = update_rule::ftrl, .rate = 0.0F}), "rate");
}

}  // namespace
}  // namespace headrace::kernels
