#include "kernels/grouped_ffn/grouped_ffn.hpp"
#include "kernels/grouped_ffn/grouped_ffn_90a_launch.hpp"
#include "kernels/grouped_ffn/grouped_ffn_launch.hpp"
#include "kernels/grouped_gemm/grouped_gemm_90a_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/runtime/half.hpp"

namespace headrace::kernels {
namespace {

using brains = std::vector<std::uint16_t>;
constexpr std::uint16_t poison = 0x7FC1;  // NaN
constexpr double forward_tolerance = 4e-3;
constexpr double backward_tolerance = 1e-2;

brains drawn(std::size_t n, random_stream& random, float scale) {
  brains values(n);
  for (std::uint16_t& value : values) value = brain_nearest(next_signed(random, scale));
  return values;
}

std::vector<float> widened(const brains& from) {
  std::vector<float> to(from.size());
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = brain_to_float(from[i]);
  return to;
}

/// grouped_gemm's products, emulated.
struct emulated_products {
  emulated_launch launch;
  std::uint32_t blocks = 3;
  void product(const grouped_product_args& args) const {
    launch_grouped_product(args, blocks, emulated_map, launch);
  }
  void sums(const grouped_sums_args& args) const {
    launch_grouped_sums(args, blocks, emulated_map, launch);
  }
};

/// Nets of few experts with `loads` rows each, everything in bfloat16.
struct emulated_ffn {
  emulated_ffn(ffn_form which,
               std::vector<std::uint32_t> rows_of_experts,
               std::uint32_t width,
               std::uint32_t inner)
      : form(which), loads(std::move(rows_of_experts)), dim(width), hidden(inner), offsets{0} {
    for (const std::uint32_t load : loads) offsets.push_back(offsets.back() + load);
    random_stream random(test_seed() + offsets.back());
    const std::size_t weights = loads.size() * dim * hidden;
    const std::size_t inner_size = std::size_t{offsets.back()} * hidden;
    x = drawn(outer_size(), random, 1.0F);
    dy = drawn(outer_size(), random, 1.0F);
    w1 = drawn(weights, random, 0.3F);
    w3 = drawn(gated() ? weights : 0, random, 0.3F);
    w2 = drawn(weights, random, 0.3F);
    first.assign(inner_size, poison);
    du = first;
    third.assign(gated() ? inner_size : 0, poison);
    h = dv = third;
    y.assign(outer_size(), std::nanf(""));
    dx = y;
    dw1.assign(weights, 0.5F);
    dw2 = dw1;
    dw3.assign(w3.size(), 0.5F);
  }
  bool gated() const { return form == ffn_form::swiglu; }
  std::size_t outer_size() const { return std::size_t{offsets.back()} * dim; }

  device::grouped_view view() {
    return {.offsets = offsets.data(),
            .experts = static_cast<std::uint32_t>(loads.size()),
            .dim = dim,
            .hidden = hidden,
            .x = x.data(),
            .w1 = w1.data(),
            .w3 = w3.data(),
            .w2 = w2.data(),
            .first = first.data(),
            .third = third.data(),
            .h = gated() ? h.data() : first.data(),
            .y = y.data()};
  }
  void forward(const emulated_launch& launch, std::uint32_t blocks = 3) {
    if (hopper)
      return launch_grouped_ffn_90a(
          view(), form, offsets.back(), emulated_products{launch, blocks}, launch);
    launch_grouped_ffn(view(), form, blocks, launch);
  }
  void backward(const emulated_launch& launch, std::uint32_t blocks = 3) {
    const device::grouped_backward_view all = {.forward = view(),
                                               .y_gradients = dy.data(),
                                               .du = du.data(),
                                               .dv = dv.data(),
                                               .x_gradients = dx.data(),
                                               .w1_gradients = dw1.data(),
                                               .w3_gradients = dw3.data(),
                                               .w2_gradients = dw2.data()};
    if (hopper)
      return launch_grouped_ffn_backward_90a(
          all, form, offsets.back(), emulated_products{launch, blocks}, launch);
    launch_grouped_ffn_backward(all, form, blocks, launch);
  }
  ffn_sizes sizes() const {
    return {.form = form, .experts = loads.size(), .dim = dim, .hidden = hidden};
  }

  ffn_form form;
  bool hopper = false;  // sm_90a's products
  std::vector<std::uint32_t> loads;
  std::uint32_t dim;
  std::uint32_t hidden;
  std::vector<std::uint32_t> offsets;
  brains x, dy, w1, w3, w2, first, third, h, du, dv;
  std::vector<float> y, dx, dw1, dw3, dw2;
};

double off(const std::vector<float>& got, const std::vector<float>& wanted) {
  return relative_error<const float>(got, std::span<const float>(wanted));
}

/// The reference on the same numbers in f32.
struct wide_ffn {
  explicit wide_ffn(const emulated_ffn& one)
      : x(widened(one.x)),
        w1(widened(one.w1)),
        w3(widened(one.w3)),
        w2(widened(one.w2)),
        first(one.first.size()),
        third(one.third.size()),
        y(one.y.size()),
        dx(one.y.size()),
        dw1(one.dw1),
        dw3(one.dw3),
        dw2(one.dw2) {
    grouped_ffn_ref(grouped_ffn_args{.sizes = one.sizes(),
                                     .offsets = one.offsets,
                                     .x = x,
                                     .w1 = w1,
                                     .w3 = w3,
                                     .w2 = w2,
                                     .first = first,
                                     .third = third,
                                     .y = y});
  }
  /// With first and third as the device left them.
  void backward(const emulated_ffn& one) {
    grouped_ffn_backward_ref(grouped_ffn_backward_args{.sizes = one.sizes(),
                                                       .offsets = one.offsets,
                                                       .x = x,
                                                       .w1 = w1,
                                                       .w3 = w3,
                                                       .w2 = w2,
                                                       .first = widened(one.first),
                                                       .third = widened(one.third),
                                                       .y_gradients = widened(one.dy),
                                                       .x_gradients = dx,
                                                       .w1_gradients = dw1,
                                                       .w3_gradients = dw3,
                                                       .w2_gradients = dw2});
  }
  std::vector<float> x, w1, w3, w2, first, third, y, dx, dw1, dw3, dw2;
};

void expect_as_reference(emulated_ffn got, const emulated_launch& launch) {
  wide_ffn wanted(got);
  got.forward(launch);
  EXPECT_LE(off(widened(got.first), wanted.first), forward_tolerance);
  EXPECT_LE(off(widened(got.third), wanted.third), forward_tolerance);
  EXPECT_LE(off(got.y, wanted.y), forward_tolerance);
  got.backward(launch);
  wanted.backward(got);
  EXPECT_LE(off(got.dx, wanted.dx), backward_tolerance);
  EXPECT_LE(off(got.dw1, wanted.dw1), backward_tolerance);
  EXPECT_LE(off(got.dw3, wanted.dw3), backward_tolerance);
  EXPECT_LE(off(got.dw2, wanted.dw2), backward_tolerance);
}

TEST(GroupedFfnKernel, IsTheReferenceBothWays) {
  for_each_order([](const emulated_launch& launch) {
    for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
      SCOPED_TRACE(form == ffn_form::relu ? "relu" : "swiglu");
      expect_as_reference(emulated_ffn(form, {3, 0, 17}, 40, 24), launch);
    }
  });
}

TEST(GroupedFfnKernel, IsTheReferenceForTilesOfEachSize) {
  const emulated_launch launch = {test_seed()};
  expect_as_reference(emulated_ffn(ffn_form::swiglu, {130, 20}, 24, 16), launch);
  expect_as_reference(emulated_ffn(ffn_form::relu, {16, 1}, 8, 136), launch);
}

TEST(GroupedFfnKernel, IsTheReferenceWithProductsOfSm90a) {
  const emulated_launch launch = {test_seed()};
  for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
    SCOPED_TRACE(form == ffn_form::relu ? "relu" : "swiglu");
    for (const std::vector<std::uint32_t>& loads :
         {std::vector<std::uint32_t>{130, 0, 70}, {0, 3}, {}}) {
      emulated_ffn one(form, loads, 40, 24);
      one.hopper = true;
      expect_as_reference(one, launch);
    }
  }
}

TEST(GroupedFfnKernel, TakesSm90aWhereExpertsHaveRowsEnough) {
  device::grouped_view view{};
  view.experts = 4;
  view.dim = view.hidden = 8;
  EXPECT_TRUE(suits_90a(256, view));
  EXPECT_FALSE(suits_90a(255, view));
  view.hidden = 0;
  EXPECT_FALSE(suits_90a(256, view));
}

class GroupedFfnOfEachKind : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Kinds, GroupedFfnOfEachKind, testing::Bool());

TEST_P(GroupedFfnOfEachKind, LeavesExpertsWithoutRowsAlone) {
  emulated_ffn one(ffn_form::swiglu, {0, 5, 0}, 16, 32);
  one.hopper = GetParam();
  for (std::size_t i = 0; i < one.w1.size(); ++i) {
    if (i / (16 * 32) != 1) one.w1[i] = one.w2[i] = one.w3[i] = poison;
    one.dw1[i] = one.dw2[i] = one.dw3[i] = -0.0F;  // which adding 0 would change
  }
  one.forward({test_seed()});
  one.backward({test_seed()});
  for (const float value : one.y) EXPECT_TRUE(std::isfinite(value));
  for (std::size_t i = 0; i < one.dw1.size(); ++i) {
    const auto is_as_before = [i](const std::vector<float>& dw) {
      return dw[i] == 0.0F && std::signbit(dw[i]);
    };
    const bool touched = !is_as_before(one.dw1) || !is_as_before(one.dw2) || !is_as_before(one.dw3);
    EXPECT_EQ(touched, i / (16 * 32) == 1) << "at " << i;
  }
}

TEST_P(GroupedFfnOfEachKind, GivesTheSameBitsOnAnyGrid) {
  emulated_ffn first(ffn_form::swiglu, {20, 66}, 8, 72);
  first.hopper = GetParam();
  emulated_ffn second = first;
  first.forward({1}, 1);
  second.forward({2}, 7);
  first.backward({1}, 1);
  second.backward({2}, 7);
  EXPECT_TRUE(same_bits<float>(first.y, second.y));
  EXPECT_TRUE(same_bits<float>(first.dx, second.dx));
  EXPECT_TRUE(same_bits<float>(first.dw1, second.dw1));
  EXPECT_TRUE(same_bits<float>(first.dw2, second.dw2));
}

}  // namespace
}  // namespace headrace::kernels
