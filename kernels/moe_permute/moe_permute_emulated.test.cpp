#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/moe_permute/moe_permute_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr float poison = std::numeric_limits<float>::quiet_NaN();

/// Routes of which a fifth is dropped; half of the rest goes to one expert.
std::vector<std::uint32_t> drawn_routes(std::size_t n, std::uint32_t experts) {
  random_stream random(test_seed() + n + experts);
  std::vector<std::uint32_t> routes(n);
  for (std::uint32_t& route : routes) {
    const auto drawn = static_cast<std::uint32_t>(random.next_below(experts));
    route = random.next_below(2) == 0 ? experts / 2 : drawn;
    if (random.next_below(5) == 0) route = no_expert;
  }
  return routes;
}

struct plan {
  plan(const std::vector<std::uint32_t>& routes, std::uint32_t experts)
      : offsets(experts + 1, 77777), places(routes.size(), 77777), listed(routes.size(), 77777) {}

  static plan on_device(const std::vector<std::uint32_t>& routes,
                        std::uint32_t experts,
                        const emulated_launch& launch) {
    plan made(routes, experts);
    const auto n = static_cast<std::uint32_t>(routes.size());
    std::vector<std::uint32_t> counts(moe_plan_words(n, experts), 77777);
    launch_moe_plan({.routes = routes.data(),
                     .offsets = made.offsets.data(),
                     .places = made.places.data(),
                     .listed = made.listed.data(),
                     .counts = counts.data(),
                     .assignments = n,
                     .experts = experts,
                     .pieces = 0},
                    launch);
    return made;
  }
  static plan on_reference(const std::vector<std::uint32_t>& routes, std::uint32_t experts) {
    plan made(routes, experts);
    moe_plan_ref({.routes = routes, .offsets = made.offsets, .places = made.places});
    return made;
  }

  std::vector<std::uint32_t> offsets, places, listed;
};

TEST(MoePlanKernel, IsTheReferencesPlan) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::uint32_t experts : {1U, 2U, 8U, 33U, 130U}) {
      for (const std::size_t n : {0U, 1U, 31U, 255U, 1024U, 2100U}) {
        SCOPED_TRACE(std::to_string(n) + " assignments to " + std::to_string(experts));
        const std::vector<std::uint32_t> routes = drawn_routes(n, experts);
        const plan got = plan::on_device(routes, experts, launch);
        const plan wanted = plan::on_reference(routes, experts);
        ASSERT_EQ(got.offsets, wanted.offsets);
        ASSERT_EQ(got.places, wanted.places);
        for (std::uint32_t i = 0; i < n; ++i) {
          if (got.places[i] == no_place) continue;
          ASSERT_EQ(got.listed[got.places[i]], i);
        }
      }
    }
  });
}

TEST(MoePlanKernel, HasAsManyExpertsAsItMay) {
  const std::vector<std::uint32_t> routes = drawn_routes(500, device::plan_experts_max);
  const plan got = plan::on_device(routes, device::plan_experts_max, {test_seed()});
  EXPECT_EQ(got.places, plan::on_reference(routes, device::plan_experts_max).places);
}

struct moved {
  moved(std::uint32_t token_count, std::uint32_t slots, std::uint32_t width)
      : tokens(token_count), per_token(slots), dim(width), routes(drawn_routes(n(), 5)) {
    places = plan::on_reference(routes, 5).places;
    random_stream random(test_seed());
    for (auto* one : {&x, &dy}) one->resize(std::size_t{tokens} * dim);
    for (auto* one : {&gates, &dgates}) one->resize(n());
    rows.assign(n() * dim, poison);  // more than the places, if some are dropped
    y.assign(x.size(), poison);
    for (auto* one : {&x, &dy, &gates}) fill_signed<float>(*one, random);
  }
  std::size_t n() const { return std::size_t{tokens} * per_token; }

  void run(const emulated_launch& launch) {
    launch_moe_permute({.x = x.data(),
                        .places = places.data(),
                        .rows = rows.data(),
                        .tokens = tokens,
                        .per_token = per_token,
                        .words = 0},
                       dim * sizeof(float),
                       true,
                       launch);
    launch_moe_combine({.rows = rows.data(),
                        .places = places.data(),
                        .gates = per_token == 1 ? nullptr : gates.data(),
                        .y = y.data(),
                        .tokens = tokens,
                        .per_token = per_token,
                        .dim = dim,
                        .aligned = dim % 4 == 0},
                       launch);
    launch_moe_combine_backward({.rows = rows.data(),
                                 .places = places.data(),
                                 .gates = gates.data(),
                                 .y_gradients = dy.data(),
                                 .row_gradients = rows.data(),
                                 .gate_gradients = dgates.data(),
                                 .assignments = static_cast<std::uint32_t>(n()),
                                 .per_token = per_token,
                                 .dim = dim,
                                 .aligned = dim % 4 == 0},
                                launch);
  }
  void run_ref() {
    moe_permute_ref(moe_permute_args{
        .x = x, .places = places, .per_token = per_token, .dim = dim, .rows = rows});
    std::span<const float> weights = gates;
    if (per_token == 1) weights = {};
    moe_combine_ref(moe_combine_args{.rows = rows,
                                     .places = places,
                                     .gates = weights,
                                     .per_token = per_token,
                                     .dim = dim,
                                     .y = y});
    moe_combine_backward_ref(moe_combine_backward_args{.rows = rows,
                                                       .places = places,
                                                       .gates = gates,
                                                       .per_token = per_token,
                                                       .dim = dim,
                                                       .y_gradients = dy,
                                                       .row_gradients = rows,
                                                       .gate_gradients = dgates});
  }

  std::uint32_t tokens;
  std::uint32_t per_token;
  std::uint32_t dim;
  std::vector<std::uint32_t> routes, places;
  std::vector<float> x, dy, gates, dgates, rows, y;
};

TEST(MoePermuteKernel, MovesRowsThereAndBackAsTheReference) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::uint32_t tokens : {0U, 1U, 29U}) {
      for (const std::uint32_t per_token : {1U, 2U, 5U}) {
        for (const std::uint32_t dim : {1U, 4U, 33U, 132U}) {
          SCOPED_TRACE(std::to_string(tokens) + " tokens, top " + std::to_string(per_token) +
                       ", dim " + std::to_string(dim));
          moved got(tokens, per_token, dim);
          moved wanted = got;
          got.run(launch);
          wanted.run_ref();
          EXPECT_LE(relative_error<float>(got.y, std::span<float>(wanted.y)), 1e-6);
          EXPECT_LE(relative_error<float>(got.dgates, std::span<float>(wanted.dgates)), 1e-6);
          EXPECT_TRUE(same_bits<float>(got.rows, wanted.rows));
        }
      }
    }
  });
}

TEST(MoePermuteKernel, MovesHalvesOfAnOddNumber) {
  const std::vector<std::uint16_t> x = {1, 2, 3, 4, 5, 6};
  const std::vector<std::uint32_t> places = {1, 0};
  std::vector<std::uint16_t> rows(6);
  launch_moe_permute({.x = x.data(),
                      .places = places.data(),
                      .rows = rows.data(),
                      .tokens = 2,
                      .per_token = 1,
                      .words = 0},
                     6,
                     true,
                     emulated_launch{test_seed()});
  EXPECT_EQ(rows, (std::vector<std::uint16_t>{4, 5, 6, 1, 2, 3}));
}

}  // namespace
}  // namespace headrace::kernels
