#include "base/check.hpp"
#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/runtime/prefetch.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/moe_permute/moe_permute_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Slots that combine adds in one pass over y.
constexpr std::size_t slots_max = 4;

/// Reads each row once and writes it where it goes: the places of an expert are written one after
/// the other.
void permute_target(const moe_permute_args& args) {
  for (std::size_t slot = 0; slot < args.places.size(); ++slot) {
    if (args.places[slot] == no_place) continue;
    const float* from = args.x.data() + slot / args.per_token * args.dim;
    float* to = args.rows.data() + args.places[slot] * args.dim;
    for_columns(0, args.dim, [from, to](auto d, std::size_t i) HWY_ATTR {
      hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    });
  }
}

/// A row and its gate.
struct part {
  const float* row;
  float gate;
};

/// The parts of one token that have a place: `n` of them, in the order of slots.
struct token_parts {
  part parts[slots_max];
  std::size_t n = 0;

  /// Takes slots from `slot` on until it is full; returns the first slot that it did not look at.
  HWY_INLINE std::size_t fill(const moe_combine_args& args, std::size_t slot, std::size_t end) {
    for (n = 0; slot < end && n < slots_max; ++slot) {
      const std::uint32_t place = args.places[slot];
      if (place == no_place) continue;
      parts[n++] = {args.rows.data() + place * args.dim,
                    args.gates.empty() ? 1.0F : args.gates[slot]};
    }
    return slot;
  }
};

/// y = or += Σ gate * row over N parts.
template <std::size_t N>
HWY_INLINE void add_parts(const token_parts& from, bool accumulate, std::size_t dim, float* y) {
  for_columns(0, dim, [&from, accumulate, y](auto d, std::size_t i) HWY_ATTR {
    auto sum = accumulate ? hn::LoadU(d, y + i) : hn::Zero(d);
    for (std::size_t s = 0; s < N; ++s) {
      sum = hn::MulAdd(hn::LoadU(d, from.parts[s].row + i), hn::Set(d, from.parts[s].gate), sum);
    }
    hn::StoreU(sum, d, y + i);
  });
}

HWY_INLINE void add_any(const token_parts& from, bool accumulate, std::size_t dim, float* y) {
  switch (from.n) {
    case 0:
      if (!accumulate) std::fill_n(y, dim, 0.0F);
      return;
    case 1:
      return add_parts<1>(from, accumulate, dim, y);
    case 2:
      return add_parts<2>(from, accumulate, dim, y);
    case 3:
      return add_parts<3>(from, accumulate, dim, y);
    default:
      return add_parts<slots_max>(from, accumulate, dim, y);
  }
}

/// Asks for the rows of the token that comes some rows later.
template <class Args>
HWY_INLINE void prefetch_later(const Args& args, std::size_t slot) {
  const std::size_t ahead = std::max(prefetch_rows_ahead, args.per_token);
  const std::size_t begin = std::min(slot + ahead, args.places.size());
  const std::size_t end = std::min(begin + args.per_token, args.places.size());
  for (std::size_t i = begin; i < end; ++i) {
    if (args.places[i] == no_place) continue;
    prefetch_row(args.rows.data() + args.places[i] * args.dim, args.dim * sizeof(float));
  }
}

void combine_target(const moe_combine_args& args) {
  token_parts parts;
  float* y = args.y.data();
  for (std::size_t slot = 0; slot < args.places.size(); y += args.dim) {
    const std::size_t end = slot + args.per_token;
    prefetch_later(args, slot);
    slot = parts.fill(args, slot, end);
    add_any(parts, false, args.dim, y);
    while (slot < end) {
      slot = parts.fill(args, slot, end);
      add_any(parts, true, args.dim, y);
    }
  }
}

/// Writes gradients = gate * dy and returns <dy, row>; `gradients` may be `row`. Four sums, so that
/// the additions do not wait for each other.
HWY_INLINE float backward_part(
    const float* dy, const float* row, float gate, std::size_t dim, float* gradients) {
  const hn::CappedTag<float, lanes_max> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto g = hn::Set(d, gate);
  hn::Vec<decltype(d)> sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  auto sum2 = hn::Zero(d);
  auto sum3 = hn::Zero(d);
  const auto step = [d, g, dy, row, gradients](std::size_t i, auto& sum) HWY_ATTR {
    const auto given = hn::LoadU(d, dy + i);
    sum = hn::MulAdd(given, hn::LoadU(d, row + i), sum);
    hn::StoreU(hn::Mul(given, g), d, gradients + i);
  };
  std::size_t i = 0;
  for (; i + 4 * lanes <= dim; i += 4 * lanes) {
    step(i, sum0);
    step(i + lanes, sum1);
    step(i + 2 * lanes, sum2);
    step(i + 3 * lanes, sum3);
  }
  for (; i + lanes <= dim; i += lanes) step(i, sum0);
  const auto sums = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  float total = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < dim; ++i) {
    total += dy[i] * row[i];
    gradients[i] = gate * dy[i];
  }
  return total;
}

void combine_backward_target(const moe_combine_backward_args& args) {
  for (std::size_t slot = 0; slot < args.places.size(); ++slot) {
    if (slot % args.per_token == 0) prefetch_later(args, slot);
    const std::size_t place = args.places[slot];
    args.gate_gradients[slot] = 0.0F;
    if (place == no_place) continue;
    args.gate_gradients[slot] =
        backward_part(args.y_gradients.data() + slot / args.per_token * args.dim,
                      args.rows.data() + place * args.dim,
                      args.gates[slot],
                      args.dim,
                      args.row_gradients.data() + place * args.dim);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(permute_target);
HWY_EXPORT(combine_target);
HWY_EXPORT(combine_backward_target);

/// The offsets are the counters: first how many each expert has, one to the right, then where its
/// next assignment goes, which is at last where the next expert's begin.
void moe_plan_cpu(const moe_plan_args& args) {
  CHECK(args.per_token >= 1);
  CHECK(!args.offsets.empty());
  CHECK(args.routes.size() < no_place);
  CHECK(args.routes.size() % args.per_token == 0);
  CHECK(args.places.size() == args.routes.size());
  const std::size_t experts = args.offsets.size() - 1;
  std::fill(args.offsets.begin(), args.offsets.end(), 0U);
  for (const std::uint32_t expert : args.routes) {
    CHECK(expert < experts || expert == no_expert);
    if (expert != no_expert) ++args.offsets[expert + 1];
  }
  for (std::size_t e = 1; e <= experts; ++e) args.offsets[e] += args.offsets[e - 1];
  for (std::size_t i = 0; i < args.routes.size(); ++i) {
    const std::uint32_t expert = args.routes[i];
    args.places[i] = expert == no_expert ? no_place : args.offsets[expert]++;
  }
  for (std::size_t e = experts; e > 0; --e) args.offsets[e] = args.offsets[e - 1];
  args.offsets[0] = 0;
}

void moe_permute_cpu(const moe_permute_args& args) {
  CHECK(args.per_token >= 1);
  CHECK(args.places.size() % args.per_token == 0);
  CHECK(args.x.size() == args.places.size() / args.per_token * args.dim);
  HWY_DYNAMIC_DISPATCH(permute_target)(args);
}

void moe_combine_cpu(const moe_combine_args& args) {
  CHECK(args.per_token >= 1);
  CHECK(args.places.size() % args.per_token == 0);
  CHECK(args.y.size() == args.places.size() / args.per_token * args.dim);
  CHECK(args.gates.empty() || args.gates.size() == args.places.size());
  HWY_DYNAMIC_DISPATCH(combine_target)(args);
}

void moe_combine_backward_cpu(const moe_combine_backward_args& args) {
  CHECK(args.per_token >= 1);
  CHECK(args.places.size() % args.per_token == 0);
  CHECK(args.y_gradients.size() == args.places.size() / args.per_token * args.dim);
  CHECK(args.gates.size() == args.places.size());
  CHECK(args.gate_gradients.size() == args.places.size());
  CHECK(args.row_gradients.size() == args.rows.size());
  HWY_DYNAMIC_DISPATCH(combine_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
