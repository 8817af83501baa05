#include "kernels/dot_interaction/dot_interaction.hpp"
#include "kernels/dot_interaction/dot_interaction_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <set>

namespace headrace::kernels {
namespace {

constexpr float untouched = 77.0F;
constexpr double tolerance = 1e-5;

TEST(DotTiles, HaveEachPairOfFieldsOnce) {
  for (unsigned fields = 2; fields <= dot_interaction_fields_max; ++fields) {
    const unsigned stride = dot_stride(fields);
    std::set<unsigned> seen;
    unsigned pairs = 0;
    for (unsigned t = 0; t < dot_tiles(stride); ++t) {
      const dot_tile_index tile = dot_tile_at(t);
      ASSERT_LT(tile.i, stride);
      ASSERT_LE(tile.j, tile.i);
      for (unsigned at = 0; at < dot_tile * dot_tile; ++at) {
        const unsigned a = at / dot_tile;
        const unsigned b = at % dot_tile;
        if (tile.i == tile.j && a <= b) continue;
        const unsigned i = tile.i + a * stride;
        const unsigned j = tile.j + b * stride;
        if (i >= fields || j >= fields) continue;
        ASSERT_EQ(dot_pair(i, j), pair_index(std::max(i, j), std::min(i, j)));
        seen.insert(dot_pair(i, j));
        ++pairs;
      }
    }
    EXPECT_EQ(pairs, field_pairs(fields)) << fields << " fields";
    EXPECT_EQ(seen.size(), pairs) << fields << " fields";
    EXPECT_EQ(*seen.rbegin(), pairs - 1) << fields << " fields";
  }
}

/// Fields lie with a gap before each, rows of outputs with one behind each.
struct emulated_dot {
  emulated_dot(std::uint32_t sample_count, std::uint32_t field_count, std::uint32_t width)
      : samples(sample_count),
        fields(field_count),
        dim(width),
        values(std::size_t{samples} * fields * (gap + dim)),
        out(std::size_t{samples} * out_stride(), untouched),
        out_gradients(out.size()),
        gradients(values.size(), untouched) {
    random_stream random(test_seed() + fields * 1000 + dim);
    fill_signed<float>(values, random);
    fill_signed<float>(out_gradients, random);
  }
  std::size_t out_stride() const { return field_pairs(fields) + gap; }

  device::dot_fields_view from() const {
    return {values.data() + gap, std::size_t{fields} * (gap + dim), gap + dim};
  }
  template <class Value>
  field_view<Value> view(std::vector<std::remove_const_t<Value>>& all) const {
    return {.values = std::span<Value>(all).subspan(all.empty() ? 0 : gap),
            .sample_stride = std::size_t{fields} * (gap + dim),
            .field_stride = gap + dim,
            .samples = samples,
            .fields = fields,
            .dim = dim};
  }
  void run(const emulated_launch& launch) {
    launch_dot_forward({.from = from(),
                        .out = out.data(),
                        .out_stride = out_stride(),
                        .samples = samples,
                        .fields = fields,
                        .dim = dim},
                       launch);
    launch_dot_backward({.from = from(),
                         .out_gradients = out_gradients.data(),
                         .out_stride = out_stride(),
                         .field_gradients = gradients.data() + gap,
                         .sample_stride = std::size_t{fields} * (gap + dim),
                         .field_stride = gap + dim,
                         .samples = samples,
                         .fields = fields,
                         .dim = dim},
                        launch);
  }
  void run_ref() {
    dot_interaction_ref(dot_interaction_args{
        .fields = view<const float>(values), .out = out, .out_stride = out_stride()});
    dot_interaction_backward_ref(
        dot_interaction_backward_args{.fields = view<const float>(values),
                                      .out_gradients = out_gradients,
                                      .out_stride = out_stride(),
                                      .field_gradients = view<float>(gradients)});
  }

  static constexpr std::size_t gap = 1;
  std::uint32_t samples;
  std::uint32_t fields;
  std::uint32_t dim;
  std::vector<float> values, out, out_gradients, gradients;
};

/// What lies between fields and between rows of outputs is in both, untouched.
TEST(DotInteractionKernel, IsTheReferenceBothWays) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::uint32_t fields : {0U, 1U, 2U, 5U, 16U, 27U, 33U, 61U, 64U}) {
      for (const std::uint32_t dim : {0U, 1U, 4U, 15U, 64U, 131U}) {
        if (fields > 33 && dim == 64) continue;
        SCOPED_TRACE(std::to_string(fields) + " fields of " + std::to_string(dim));
        emulated_dot got(fields < 6 ? 3 : 2, fields, dim);
        emulated_dot wanted = got;
        got.run(launch);
        wanted.run_ref();
        EXPECT_LE(relative_error<float>(got.out, std::span<float>(wanted.out)), tolerance);
        EXPECT_LE(relative_error<float>(got.gradients, std::span<float>(wanted.gradients)),
                  tolerance);
      }
    }
  });
}

}  // namespace
}  // namespace headrace::kernels
