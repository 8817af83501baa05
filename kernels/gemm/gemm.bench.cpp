#include "kernels/gemm/gemm.hpp"

#include "kernels/runtime/bench_cases.hpp"

#ifdef HEADRACE_ONEDNN
#include <dnnl.hpp>
#include <omp.h>
#endif

namespace headrace::kernels {
namespace {

/// C [m, n] = or += op(A) op(B), matrices without gaps.
struct gemm_case {
  gemm_case(std::size_t rows,
            std::size_t columns,
            std::size_t depth,
            bool a_transposed,
            bool b_transposed,
            bool accumulate)
      : a(random_floats(rows * depth)),
        b(random_floats(depth * columns, 2)),
        c(rows * columns),
        peer_c(rows * columns),
        workspace(gemm_workspace(rows, columns, depth)) {
    args = {.a = a.data(),
            .a_stride = a_transposed ? rows : depth,
            .a_transposed = a_transposed,
            .b = b.data(),
            .b_stride = b_transposed ? depth : columns,
            .b_transposed = b_transposed,
            .c = c.data(),
            .c_stride = columns,
            .m = rows,
            .n = columns,
            .k = depth,
            .accumulate = accumulate,
            .workspace = workspace};
  }

  std::vector<float> a;
  std::vector<float> b;
  std::vector<float> c;
  std::vector<float> peer_c;
  std::vector<float> workspace;
  gemm_args args;
};

#ifdef HEADRACE_ONEDNN

/// oneDNN's matmul on the same buffers in one thread, its primitive made beforehand.
class gemm_peer {
 public:
  explicit gemm_peer(gemm_case& one)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_), primitive_(make(one.args)) {
    omp_set_num_threads(1);
    const auto bind = [this](int name, const dnnl::memory::desc& of, const float* data) {
      bound_.insert({name, dnnl::memory(of, engine_, const_cast<float*>(data))});
    };
    bind(DNNL_ARG_SRC, left(one.args), one.a.data());
    bind(DNNL_ARG_WEIGHTS, right(one.args), one.b.data());
    bind(DNNL_ARG_DST, target(one.args), one.peer_c.data());
  }
  void operator()() {
    primitive_.execute(stream_, bound_);
    stream_.wait();
  }

 private:
  static dnnl::memory::desc matrix(std::size_t rows,
                                   std::size_t columns,
                                   std::size_t stride,
                                   bool transposed) {
    using dims = dnnl::memory::dims;
    const auto step = static_cast<dnnl::memory::dim>(stride);
    const dims shape = {static_cast<dnnl::memory::dim>(rows),
                        static_cast<dnnl::memory::dim>(columns)};
    return {shape, dnnl::memory::data_type::f32, transposed ? dims{1, step} : dims{step, 1}};
  }
  static dnnl::memory::desc left(const gemm_args& args) {
    return matrix(args.m, args.k, args.a_stride, args.a_transposed);
  }
  static dnnl::memory::desc right(const gemm_args& args) {
    return matrix(args.k, args.n, args.b_stride, args.b_transposed);
  }
  static dnnl::memory::desc target(const gemm_args& args) {
    return matrix(args.m, args.n, args.c_stride, false);
  }
  dnnl::matmul make(const gemm_args& args) const {
    dnnl::primitive_attr attributes;
    if (args.accumulate) {
      dnnl::post_ops after;
      after.append_sum(1.0F);
      attributes.set_post_ops(after);
    }
    return dnnl::matmul({{left(args), right(args), target(args)}, attributes, engine_});
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, dnnl::memory> bound_;
};

#else

/// The plain loops of the reference, for want of a better one.
class gemm_peer {
 public:
  explicit gemm_peer(gemm_case& one) : args_(one.args) { args_.c = one.peer_c.data(); }
  void operator()() { gemm_ref(args_); }

 private:
  gemm_args args_;
};

#endif

/// An item is a multiply-add: M_items/s * 2e-3 = GFLOP/s.
void run(benchmark::State& state, gemm_case& one) {
  gemm_peer peer(one);
  compare(
      state,
      one.args.m * one.args.n * one.args.k,
      0,
      [&one](std::size_t) { gemm(one.args); },
      [&peer](std::size_t) { peer(); });
}

std::size_t argument(const benchmark::State& state, int at) {
  return static_cast<std::size_t>(state.range(at));
}

/// Y [rows, out] = X [rows, in] W [in, out], and its backward: dX = dY Wᵀ, dW += Xᵀ dY.
void layer_forward(benchmark::State& state) {
  gemm_case one(argument(state, 0), argument(state, 2), argument(state, 1), false, false, false);
  run(state, one);
}
void layer_input_gradient(benchmark::State& state) {
  gemm_case one(argument(state, 0), argument(state, 1), argument(state, 2), false, true, false);
  run(state, one);
}
void layer_weight_gradient(benchmark::State& state) {
  gemm_case one(argument(state, 1), argument(state, 2), argument(state, 0), true, false, true);
  run(state, one);
}
#define HEADRACE_LAYERS(name) \
  BENCHMARK(name)             \
      ->Args({512, 429, 256}) \
      ->Args({512, 256, 128}) \
      ->Args({512, 128, 1})   \
      ->Args({64, 429, 256})  \
      ->UseManualTime()
HEADRACE_LAYERS(layer_forward);
HEADRACE_LAYERS(layer_input_gradient);
HEADRACE_LAYERS(layer_weight_gradient);

void square(benchmark::State& state) {
  const std::size_t n = argument(state, 0);
  gemm_case one(n, n, n, false, false, false);
  run(state, one);
}
BENCHMARK(square)->Arg(512)->Arg(1024)->UseManualTime();

/// Inference: few rows by a layer's weights.
void few_rows(benchmark::State& state) {
  gemm_case one(argument(state, 0), 256, 429, false, argument(state, 1) != 0, false);
  run(state, one);
}
BENCHMARK(few_rows)->ArgsProduct({{1, 2, 4, 5, 8, 16, 32, 48}, {0, 1}})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
