#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/sparse_update/sparse_update_launch.hpp"

#include <numeric>
#include <vector>

namespace headrace::kernels {
namespace {

const update_rule rules[] = {update_rule::add,
                             update_rule::sgd,
                             update_rule::adagrad,
                             update_rule::momentum,
                             update_rule::rowwise_adagrad,
                             update_rule::adam,
                             update_rule::adamw,
                             update_rule::ftrl};
const value_format formats[] = {
    value_format::fp32, value_format::int8, value_format::fp16, value_format::bf16};

/// A table of rows with their states behind the weights, and a batch of gradients for some of them.
struct update_case {
  update_case(update_rule of_rule, std::uint32_t columns, std::uint32_t updated, value_format form)
      : rule(of_rule),
        dim(columns),
        rows(updated),
        format(form),
        stride(dim + state_words(rule, dim) + 3),
        random(test_seed() + 97 * dim + rows),
        table((2 * rows + 1) * stride) {
    for (float& value : table) value = next_hard(random, 16, 1e30F);
    for (std::uint32_t r = 0; r < 2 * rows + 1; ++r) begin_state(&table[r * stride + dim]);
    for (std::uint32_t r = 0; r < rows; ++r) index.push_back(2 * rows - 2 * r);
    draw_gradients();
  }

  void begin_state(float* state) {
    for (std::size_t i = 0; i < state_words(rule, dim); ++i) {
      const bool is_sum = rule == update_rule::adagrad || rule == update_rule::rowwise_adagrad ||
                          (i >= dim && i < 2 * dim);
      state[i] = is_sum ? std::abs(next_hard(random, 16, 1e30F)) : next_signed(random);
    }
    if (!device::has_steps(rule)) return;
    const std::uint32_t steps[] = {0, 1, 6, 1'000, 0xFFFFFFFFU};
    state[2 * dim] = std::bit_cast<float>(steps[random.next_below(5)]);
  }

  void draw_gradients() {
    const std::size_t size = std::size_t{rows} * dim;
    if (format == value_format::fp32) {
      for (std::size_t i = 0; i < size; ++i) {
        floats.push_back(random.next_below(16) == 0 ? std::numeric_limits<float>::infinity()
                                                    : next_hard(random, 4));
      }
    } else if (format == value_format::int8) {
      for (std::size_t i = 0; i < size; ++i) {
        codes.push_back(static_cast<std::int8_t>(random.next_below(255)));
      }
      for (std::uint32_t r = 0; r < rows; ++r) {
        scales.push_back(static_cast<std::uint16_t>(random.next_below(0x7BFF)));
      }
    } else {  // any pattern: infinities and NaN, too
      for (std::size_t i = 0; i < size; ++i) {
        words.push_back(static_cast<std::uint16_t>(random.next_below(0x10000)));
      }
    }
  }

  sparse_update_args settings() const {
    sparse_update_args args;
    args.dim = dim;
    args.rule = rule;
    args.rate = 0.05F;
    args.first_rate = 0.01F;
    args.first_columns = std::min(dim, 3U);
    args.l2 = dim % 2 == 0 ? 1e-4F : 0.0F;
    args.clip = dim % 3 == 0 ? 0.75F : 0.0F;
    args.momentum = 0.9F;
    args.beta1 = 0.9F;
    args.beta2 = 0.999F;
    args.weight_decay = 0.01F;
    args.ftrl_l1 = 0.1F;
    args.ftrl_l2 = 0.01F;
    args.ftrl_beta = 1.0F;
    return args;
  }

  std::vector<float> updated_by_reference() const {
    std::vector<float> result = table;
    std::vector<float*> pointers;
    for (const std::uint32_t r : index) pointers.push_back(&result[r * stride]);
    sparse_update_args args = settings();
    args.rows = pointers;
    args.gradients = floats;
    args.codes = codes;
    args.scales = scales;
    if (format == value_format::fp16) args.halves = words;
    if (format == value_format::bf16) args.brains = words;
    sparse_update_ref(args);
    return result;
  }

  /// A table `skew` floats past a vector's alignment.
  std::vector<float> updated_by_kernel(const emulated_launch& launch) const {
    std::vector<float> result = table;
    const sparse_update_args of = settings();
    device::sparse_update_view view{};
    view.table = result.data();
    view.row_stride = stride;
    view.states = result.data() + dim;
    view.state_stride = stride;
    view.index = index.data();
    view.gradients = gradients();
    view.scales = scales.data();
    view.rows = rows;
    view.dim = dim;
    view.first_columns = static_cast<std::uint32_t>(of.first_columns);
    view.format = format;
    view.rate = of.rate;
    view.first_rate = of.first_rate;
    view.l2 = of.l2;
    view.clip = of.clip;
    view.momentum = of.momentum;
    view.beta1 = of.beta1;
    view.beta2 = of.beta2;
    view.weight_decay = of.weight_decay;
    view.ftrl_l1 = of.ftrl_l1;
    view.ftrl_l2 = of.ftrl_l2;
    view.ftrl_beta = of.ftrl_beta;
    launch_sparse_update(view, rule, launch);
    return result;
  }

  const void* gradients() const {
    if (format == value_format::fp32) return floats.data();
    if (format == value_format::int8) return codes.data();
    return words.data();
  }

  update_rule rule;
  std::uint32_t dim;
  std::uint32_t rows;
  value_format format;
  std::size_t stride;
  random_stream random;
  std::vector<float> table;
  std::vector<std::uint32_t> index;
  std::vector<float> floats;
  std::vector<std::int8_t> codes;
  std::vector<std::uint16_t> scales;
  std::vector<std::uint16_t> words;
};

void expect_bits_of_the_reference(const update_case& of) {
  SCOPED_TRACE("rule " + std::to_string(static_cast<int>(of.rule)) + ", format " +
               std::to_string(static_cast<int>(of.format)) + ", " + std::to_string(of.rows) +
               " rows of dim " + std::to_string(of.dim));
  std::vector<float> wanted = of.updated_by_reference();
  for_each_order([&](const emulated_launch& launch) {
    std::vector<float> got = of.updated_by_kernel(launch);
    ASSERT_TRUE(same_bits(std::span(got), std::span(wanted)));
  });
}

TEST(SparseUpdateKernel, GivesTheBitsOfTheReferenceForEveryRuleAndWidth) {
  in_both_float_modes([] {
    for (const update_rule rule : rules) {
      for (const std::uint32_t dim : {1U, 4U, 5U, 13U, 16U, 36U, 131U}) {
        expect_bits_of_the_reference(update_case(rule, dim, 11, value_format::fp32));
      }
    }
  });
}

TEST(SparseUpdateKernel, GivesTheBitsOfTheReferenceForEveryFormat) {
  for (const value_format format : formats) {
    for (const update_rule rule : {update_rule::adagrad, update_rule::rowwise_adagrad}) {
      for (const std::uint32_t dim : {3U, 8U, 33U}) {
        for (const std::uint32_t rows : {0U, 1U, 9U}) {
          expect_bits_of_the_reference(update_case(rule, dim, rows, format));
        }
      }
    }
  }
}

/// What decides whether rows move in fours: everything that a lane loads at once.
TEST(SparseUpdateKernel, MovesInFoursOnlyWhatIsAlignedForIt) {
  alignas(16) float memory[64] = {};
  device::sparse_update_view view{};
  view.table = memory;
  view.states = memory + 8;
  view.gradients = memory;
  view.row_stride = view.state_stride = 16;
  view.dim = 8;
  EXPECT_TRUE(updates_in_fours(view));
  view.row_stride = 17;
  EXPECT_FALSE(updates_in_fours(view));
  view.row_stride = 16;
  view.states = memory + 9;
  EXPECT_FALSE(updates_in_fours(view));
  view.states = memory + 8;
  view.dim = 7;
  EXPECT_FALSE(updates_in_fours(view));
}

/// Aligned rows, as a cache in device memory has them.
TEST(SparseUpdateKernel, GivesTheBitsOfTheReferenceForAlignedRows) {
  for (const update_rule rule : rules) {
    update_case of(rule, 16, 9, value_format::fp32);
    of.stride = 16 + (state_words(rule, 16) + 15) / 16 * 16;
    of.table.resize((2 * of.rows + 1) * of.stride, 0.5F);
    for (std::uint32_t r = 0; r < 2 * of.rows + 1; ++r)
      of.begin_state(&of.table[r * of.stride + 16]);
    expect_bits_of_the_reference(of);
  }
}

}  // namespace
}  // namespace headrace::kernels
