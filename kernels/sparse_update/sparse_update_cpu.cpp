#include "base/check.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/sparse_update/step_factors.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sparse_update/sparse_update_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/runtime/halves-inl.hpp"
#include "kernels/sparse_update/rules-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Gradients of one row as they came.
struct fp32_gradients {
  fp32_gradients(const sparse_update_args& args, std::size_t row)
      : values(args.gradients.data() + row * args.dim) {}
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    return hn::LoadU(d, values + c);
  }
  const float* values;
};
struct int8_gradients {
  int8_gradients(const sparse_update_args& args, std::size_t row)
      : codes(args.codes.data() + row * args.dim), scale(half_to_float(args.scales[row])) {}
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    const hn::Rebind<std::int8_t, D> di8;
    const hn::Rebind<std::int32_t, D> di32;
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di32, hn::LoadU(di8, codes + c))),
                   hn::Set(d, scale));
  }
  const std::int8_t* codes;
  float scale;
};
struct fp16_gradients {
  fp16_gradients(const sparse_update_args& args, std::size_t row)
      : halves(args.halves.data() + row * args.dim) {}
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    return half_values(d, load_words(d, halves + c));
  }
  const std::uint16_t* halves;
};
struct bf16_gradients {
  bf16_gradients(const sparse_update_args& args, std::size_t row)
      : brains(args.brains.data() + row * args.dim) {}
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    return brain_values(d, load_words(d, brains + c));
  }
  const std::uint16_t* brains;
};

/// The step of `Rule` on columns [begin, end) of one row.
template <update_rule Rule, class Gradients>
HWY_INLINE void update_columns(float* row,
                               float* state,
                               std::size_t dim,
                               const Gradients gradients,
                               std::size_t begin,
                               std::size_t end,
                               column_factors factors,
                               const rule_constants rule,
                               gradient_shape shape) {
  for_columns(begin, end, [=](auto d, std::size_t c) HWY_ATTR {
    const auto w = hn::LoadU(d, row + c);
    const auto g = shaped(d, gradients.load(d, c), w, shape);
    const auto moved = stepped<Rule>(d, w, g, state, dim, c, factors, rule);
    hn::StoreU(limited(d, moved, weight_max), d, row + c);
  });
}

/// Factors of a row's first-order columns and of the others.
struct row_factors {
  column_factors first;
  column_factors rest;
};

/// Rows whose factors are made side by side: each is a chain of roots and divisions, and the chains
/// of different rows overlap.
constexpr std::size_t block_rows = 16;

float* state_of(const sparse_update_args& args, std::size_t row) {
  return args.states.empty() ? args.rows[row] + args.dim : args.states[row];
}

/// Makes factors of rows [begin, begin + size); here they are the same for all.
template <update_rule Rule, class Gradients>
class factor_maker {
 public:
  static constexpr std::size_t rows_ahead = prefetch_rows_ahead;
  explicit factor_maker(const sparse_update_args& args)
      : plain_{of(args.first_rate), of(args.rate)} {}
  HWY_INLINE void make(std::size_t, std::size_t) {}
  HWY_INLINE const row_factors& at(std::size_t) const { return plain_; }

 private:
  static column_factors of(float rate) {
    return {.rate = Rule == update_rule::ftrl ? inverse_rate(rate) : rate};
  }
  row_factors plain_;
};

template <class Gradients>
class factor_maker<update_rule::rowwise_adagrad, Gradients> {
 public:
  static constexpr std::size_t rows_ahead = prefetch_rows_ahead + block_rows;
  explicit factor_maker(const sparse_update_args& args) : args_(args) {}
  void make(std::size_t begin, std::size_t size) {
    std::array<float, block_rows> squares{};
    std::array<float, block_rows> sums{};
    for (std::size_t i = 0; i < size; ++i) {
      const Gradients gradients(args_, begin + i);
      squares[i] =
          squares_of_row(args_.rows[begin + i], gradients, args_.dim, {args_.clip, args_.l2});
      sums[i] = *state_of(args_, begin + i);
    }
    for (std::size_t i = 0; i < block_rows; ++i) {
      const float spread = rowwise_spread(&sums[i], squares[i], args_.dim);
      block_[i].first.rate = rowwise_factor(args_.first_rate, spread);
      block_[i].rest.rate = rowwise_factor(args_.rate, spread);
    }
    for (std::size_t i = 0; i < size; ++i) *state_of(args_, begin + i) = sums[i];
  }
  HWY_INLINE const row_factors& at(std::size_t i) const { return block_[i]; }

 private:
  const sparse_update_args& args_;
  std::array<row_factors, block_rows> block_{};
};

template <class Gradients>
class adam_factor_maker {
 public:
  static constexpr std::size_t rows_ahead = prefetch_rows_ahead + block_rows;
  explicit adam_factor_maker(const sparse_update_args& args) : args_(args), correction_(args) {}
  void make(std::size_t begin, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t steps = next_step(state_of(args_, begin + i) + 2 * args_.dim);
      const auto& [first, rest] = correction_.at(steps);
      block_[i] = {{first.rate, first.epsilon, args_.first_rate * args_.weight_decay},
                   {rest.rate, rest.epsilon, args_.rate * args_.weight_decay}};
    }
  }
  HWY_INLINE const row_factors& at(std::size_t i) const { return block_[i]; }

 private:
  const sparse_update_args& args_;
  adam_correction correction_;
  std::array<row_factors, block_rows> block_{};
};
template <class Gradients>
class factor_maker<update_rule::adam, Gradients> : public adam_factor_maker<Gradients> {
  using adam_factor_maker<Gradients>::adam_factor_maker;
};
template <class Gradients>
class factor_maker<update_rule::adamw, Gradients> : public adam_factor_maker<Gradients> {
  using adam_factor_maker<Gradients>::adam_factor_maker;
};

/// Asks for rows and states that are needed soon.
class row_prefetch {
 public:
  explicit row_prefetch(const sparse_update_args& args)
      : args_(args),
        state_bytes_(state_words(args.rule, args.dim) * sizeof(float)),
        row_bytes_(args.dim * sizeof(float) + (args.states.empty() ? state_bytes_ : 0)) {}
  HWY_INLINE void ask_for(std::size_t row) const {
    if (row >= args_.rows.size()) return;
    prefetch_row(args_.rows[row], row_bytes_);
    if (!args_.states.empty()) prefetch_row(args_.states[row], state_bytes_);
  }

 private:
  const sparse_update_args& args_;
  std::size_t state_bytes_;
  std::size_t row_bytes_;
};

template <update_rule Rule, class Gradients>
void update_rows(const sparse_update_args& args) {
  const std::size_t n = args.rows.size();
  const std::size_t dim = args.dim;
  const std::size_t first = std::min(args.first_columns, dim);
  const gradient_shape shape = {args.clip, args.l2};
  const rule_constants rule(args);
  const row_prefetch soon(args);
  factor_maker<Rule, Gradients> factors(args);
  constexpr std::size_t ahead = factor_maker<Rule, Gradients>::rows_ahead;
  for (std::size_t r = 0; r < ahead; ++r) soon.ask_for(r);
  for (std::size_t begin = 0; begin < n; begin += block_rows) {
    const std::size_t size = std::min(block_rows, n - begin);
    factors.make(begin, size);
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t r = begin + i;
      soon.ask_for(r + ahead);
      float* row = args.rows[r];
      float* state = state_of(args, r);
      const Gradients gradients(args, r);
      const row_factors& of_row = factors.at(i);
      update_columns<Rule>(row, state, dim, gradients, 0, first, of_row.first, rule, shape);
      update_columns<Rule>(row, state, dim, gradients, first, dim, of_row.rest, rule, shape);
    }
  }
}

template <class Gradients>
void update_by_rule(const sparse_update_args& args) {
  switch (args.rule) {
    case update_rule::add:
      return update_rows<update_rule::add, Gradients>(args);
    case update_rule::sgd:
      return update_rows<update_rule::sgd, Gradients>(args);
    case update_rule::adagrad:
      return update_rows<update_rule::adagrad, Gradients>(args);
    case update_rule::momentum:
      return update_rows<update_rule::momentum, Gradients>(args);
    case update_rule::rowwise_adagrad:
      return update_rows<update_rule::rowwise_adagrad, Gradients>(args);
    case update_rule::adam:
      return update_rows<update_rule::adam, Gradients>(args);
    case update_rule::adamw:
      return update_rows<update_rule::adamw, Gradients>(args);
    case update_rule::ftrl:
      return update_rows<update_rule::ftrl, Gradients>(args);
  }
}

void sparse_update_target(const sparse_update_args& args) {
  if (!args.codes.empty()) return update_by_rule<int8_gradients>(args);
  if (!args.halves.empty()) return update_by_rule<fp16_gradients>(args);
  if (!args.brains.empty()) return update_by_rule<bf16_gradients>(args);
  update_by_rule<fp32_gradients>(args);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(sparse_update_target);

namespace {

bool is_beta(float beta) { return beta >= 0.0F && beta < 1.0F; }

/// What the rule cannot do with: it would make weights that are no numbers.
void check_settings(const sparse_update_args& args) {
  if (args.rule == update_rule::adam || args.rule == update_rule::adamw) {
    CHECK(is_beta(args.beta1));
    CHECK(is_beta(args.beta2));
  }
  if (args.rule == update_rule::ftrl) {
    CHECK(args.rate > 0.0F);
    CHECK(args.first_columns == 0 || args.first_rate > 0.0F);
    CHECK(args.ftrl_l1 >= 0.0F && args.ftrl_l2 >= 0.0F && args.ftrl_beta >= 0.0F);
  }
}

}  // namespace

void sparse_update_cpu(const sparse_update_args& args) {
  check_settings(args);
  const std::size_t gradients =
      args.gradients.size() + args.codes.size() + args.halves.size() + args.brains.size();
  CHECK(gradients == args.rows.size() * args.dim);
  CHECK(args.codes.empty() || args.scales.size() == args.rows.size());
  CHECK(args.states.empty() || args.states.size() == args.rows.size());
  HWY_DYNAMIC_DISPATCH(sparse_update_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
