#include "kernels/cross/cross.hpp"
#include "kernels/cross/cross_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr float poison = std::numeric_limits<float>::quiet_NaN();
constexpr double tolerance = 1e-5;

/// The identity as W, so that the reference's products are x and du themselves.
std::vector<float> identity(std::size_t dim) {
  std::vector<float> w(dim * dim);
  for (std::size_t i = 0; i < dim; ++i) w[i * dim + i] = 1.0F;
  return w;
}

struct emulated_cross {
  emulated_cross(std::uint32_t row_count, std::uint32_t width)
      : rows(row_count), dim(width), w(identity(dim)), bias(dim), db(dim), dw(w.size()) {
    random_stream random(test_seed() + dim);
    for (auto* one : {&x0, &x, &g, &dx0}) {
      *one = std::vector<float>(std::size_t{rows} * dim);
      fill_signed<float>(*one, random);
    }
    fill_signed<float>(bias, random);
    fill_signed<float>(db, random);
    for (auto* one : {&out, &affine, &du, &dx}) *one = std::vector<float>(x.size(), poison);
  }

  void run(const emulated_launch& launch) {
    affine = x;  // x W
    launch_cross_forward({.x0 = x0.data(),
                          .x = x.data(),
                          .bias = bias.data(),
                          .affine = affine.data(),
                          .out = out.data(),
                          .rows = rows,
                          .dim = dim,
                          .block_rows = 0,
                          .aligned = dim % 4 == 0},
                         launch);
    std::vector<float> partials(cross_partials(rows, dim), poison);
    launch_cross_backward({.x0 = x0.data(),
                           .affine = affine.data(),
                           .out_gradients = g.data(),
                           .affine_gradients = du.data(),
                           .x0_gradients = dx0.data(),
                           .bias_partials = partials.data(),
                           .rows = rows,
                           .dim = dim,
                           .block_rows = 0,
                           .aligned = dim % 4 == 0},
                          db.data(),
                          launch);
    for (std::size_t i = 0; i < x.size(); ++i) dx[i] = g[i] + du[i];
  }
  void run_ref() {
    const cross_shape shape = {.rows = rows, .dim = dim};
    cross_ref(cross_args{.shape = shape,
                         .x0 = x0,
                         .x = x,
                         .weights = {.full = w, .bias = bias},
                         .out = out,
                         .affine = affine});
    cross_backward_ref(cross_backward_args{.shape = shape,
                                           .x0 = x0,
                                           .x = x,
                                           .weights = {.full = w, .bias = bias},
                                           .affine = affine,
                                           .out_gradients = g,
                                           .x_gradients = dx,
                                           .x0_gradients = dx0,
                                           .weight_gradients = {.full = dw, .bias = db}});
  }

  std::uint32_t rows;
  std::uint32_t dim;
  std::vector<float> w, bias, db, dw, x0, x, g, dx0, out, affine, du, dx;
};

TEST(CrossKernel, IsTheReferenceBothWaysBesideTheProducts) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::uint32_t rows : {0U, 1U, 16U, 37U}) {
      for (const std::uint32_t dim : {1U, 4U, 31U, 96U, 521U}) {
        if (dim > 100 && rows != 1) continue;
        SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(dim));
        emulated_cross got(rows, dim);
        emulated_cross wanted = got;
        got.run(launch);
        wanted.run_ref();
        const auto off = [](const std::vector<float>& a, const std::vector<float>& b) {
          return relative_error<const float>(a, std::span<const float>(b));
        };
        EXPECT_LE(off(got.out, wanted.out), tolerance);
        EXPECT_LE(off(got.affine, wanted.affine), tolerance);
        EXPECT_LE(off(got.dx, wanted.dx), tolerance);
        EXPECT_LE(off(got.dx0, wanted.dx0), tolerance);
        EXPECT_LE(off(got.db, wanted.db), tolerance);
      }
    }
  });
}

TEST(CrossKernel, HasABlockForEachRowOfAnyNumber) {
  for (const std::uint32_t rows : {1U, 16U, 17U, 65'535U * 16, 65'535U * 16 + 1, 0xFFFF0000U}) {
    EXPECT_LE(cross_row_blocks(rows), 65'535U) << rows;
    EXPECT_GE(std::uint64_t{cross_row_blocks(rows)} * cross_block_rows(rows), rows);
  }
}

}  // namespace
}  // namespace headrace::kernels
