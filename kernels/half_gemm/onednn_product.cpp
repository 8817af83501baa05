#include "kernels/half_gemm/onednn_product.hpp"

#include "base/check.hpp"

#ifdef HEADRACE_ONEDNN
#include <dnnl.hpp>
#include <map>
#include <memory>
#include <tuple>

// Of the OpenMP that oneDNN runs on; declared here, so that nothing is compiled with OpenMP.
extern "C" void omp_set_num_threads(int);
#endif

namespace headrace::kernels {

#ifdef HEADRACE_ONEDNN

namespace {

using dnnl::memory;

/// All that a primitive depends on.
struct product_shape {
  memory::data_type type = memory::data_type::bf16;
  bool a_transposed = false;
  bool accumulate = false;
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;

  auto key() const { return std::tuple(type, a_transposed, accumulate, m, n, k); }
  friend bool operator<(const product_shape& x, const product_shape& y) {
    return x.key() < y.key();
  }
};

memory::dim dim_of(std::size_t n) { return static_cast<memory::dim>(n); }

/// oneDNN's matmul for one shape, and the memories that it reads and writes.
class product {
 public:
  product(const product_shape& shape, const dnnl::engine& engine)
      : a_(left(shape), engine, DNNL_MEMORY_NONE),
        b_(right(shape), engine, DNNL_MEMORY_NONE),
        c_(target(shape), engine, DNNL_MEMORY_NONE),
        primitive_(make(shape, engine)) {}

  bool run(const dnnl::stream& stream, const void* a, const void* b, float* c) {
    a_.set_data_handle(const_cast<void*>(a));
    b_.set_data_handle(const_cast<void*>(b));
    c_.set_data_handle(c);
    const dnnl_exec_arg_t bound[] = {
        {DNNL_ARG_SRC, a_.get()}, {DNNL_ARG_WEIGHTS, b_.get()}, {DNNL_ARG_DST, c_.get()}};
    return dnnl_primitive_execute(primitive_.get(), stream.get(), 3, bound) == dnnl_success &&
           dnnl_stream_wait(stream.get()) == dnnl_success;
  }

 private:
  static memory::desc left(const product_shape& shape) {
    const memory::dim m = dim_of(shape.m);
    const memory::dim k = dim_of(shape.k);
    return {{m, k}, shape.type, shape.a_transposed ? memory::dims{1, m} : memory::dims{k, 1}};
  }
  static memory::desc right(const product_shape& shape) {
    return {{dim_of(shape.k), dim_of(shape.n)}, shape.type, memory::format_tag::BA16a64b2a};
  }
  static memory::desc target(const product_shape& shape) {
    return {{dim_of(shape.m), dim_of(shape.n)}, memory::data_type::f32, memory::format_tag::ab};
  }
  static dnnl::matmul make(const product_shape& shape, const dnnl::engine& engine) {
    dnnl::primitive_attr attributes;
    if (shape.accumulate) {
      dnnl::post_ops after;
      after.append_sum(1.0F);
      attributes.set_post_ops(after);
    }
    return dnnl::matmul({{left(shape), right(shape), target(shape)}, attributes, engine});
  }

  memory a_;
  memory b_;
  memory c_;
  dnnl::matmul primitive_;
};

/// The products of a thread. A shape that oneDNN has no code for is remembered as null.
class product_cache {
 public:
  product_cache() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    omp_set_num_threads(1);
  }

  bool run(const product_shape& shape, const void* a, const void* b, float* c) {
    product* found = find(shape);
    return found != nullptr && found->run(stream_, a, b, c);
  }

 private:
  // Rows of a batch's last chunk are any number: more shapes than this begin anew.
  static constexpr std::size_t products_max = 512;

  product* find(const product_shape& shape) {
    if (const auto at = products_.find(shape); at != products_.end()) return at->second.get();
    if (products_.size() == products_max) products_.clear();
    std::unique_ptr<product> made;
    try {
      made = std::make_unique<product>(shape, engine_);
    } catch (const dnnl::error&) {  // no code for it: left null
    }
    return products_.emplace(shape, std::move(made)).first->second.get();
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<product_shape, std::unique_ptr<product>> products_;
};

bool multiply(const product_shape& shape, const void* a, const void* b, float* c) {
  if (shape.m == 0 || shape.n == 0 || shape.k == 0) return false;
  thread_local product_cache products;
  return products.run(shape, a, b, c);
}

bool includes(dnnl::cpu_isa has, dnnl::cpu_isa wanted) {
  const auto bits = static_cast<unsigned>(wanted);
  return (static_cast<unsigned>(has) & bits) == bits;
}

}  // namespace

half_machine onednn_machine() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  if (includes(isa, dnnl::cpu_isa::avx512_core_amx)) return half_machine::amx;
  return includes(isa, dnnl::cpu_isa::avx512_core_bf16) ? half_machine::avx512
                                                        : half_machine::plain;
}

bool multiply_by_onednn(const half_gemm_args& args) {
  CHECK(args.a.size() == args.m * args.k);
  CHECK(args.b.size() == packed_words(args.k, args.n));
  CHECK(args.c.size() == args.m * args.n);
  if (args.format != half_format::bf16) return false;
  return multiply(
      {memory::data_type::bf16, args.a_transposed, args.accumulate, args.m, args.n, args.k},
      args.a.data(),
      args.b.data(),
      args.c.data());
}

bool multiply_floats_by_onednn(const onednn_floats_args& args) {
  CHECK(args.a.size() == args.m * args.k);
  CHECK(args.b.size() == packed_words(args.k, args.n));
  CHECK(args.c.size() == args.m * args.n);
  return multiply(
      {memory::data_type::f32, args.a_transposed, args.accumulate, args.m, args.n, args.k},
      args.a.data(),
      args.b.data(),
      args.c.data());
}

#else

half_machine onednn_machine() { return half_machine::plain; }
bool multiply_by_onednn(const half_gemm_args&) { return false; }
bool multiply_floats_by_onednn(const onednn_floats_args&) { return false; }

#endif

}  // namespace headrace::kernels
