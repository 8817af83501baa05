#pragma once

#include "base/random.hpp"
#include "worker/device/device_library.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// What the tests of steps on a device share: models, batches, and the CPU library in the CUDA
/// library's place, whole or with calls that fail.
namespace headrace::worker {

inline std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

/// libheadrace_kernels.so as HEADRACE_KERNELS_LIBRARY names it; nothing where it is not set.
inline std::optional<device_library> cpu_library() {
  const char* file = std::getenv("HEADRACE_KERNELS_LIBRARY");
  if (file == nullptr) return std::nullopt;
  auto opened = kernels::cuda_library::open(file, "cpu");
  EXPECT_TRUE(opened.ok()) << describe(opened.error());
  auto library =
      device_library::of(std::make_shared<const kernels::cuda_library>(std::move(*opened)), 0);
  EXPECT_TRUE(library.ok());
  return std::move(*library);
}

/// The library with every call counted and one of them failing. Fresh memory holds NaN, so that
/// what was never written shows. One at a time.
struct watched_library {
  static inline device_library real;
  static inline std::size_t calls = 0;        // that queue or wait
  static inline std::size_t failing = 0;      // this call fails, from 1; 0: none
  static inline std::size_t allocations = 0;  // of either memory
  static inline headrace_status status = HEADRACE_DEVICE_FAILED;

  static bool fails() { return ++calls == failing; }

  static headrace_status new_memory(decltype(real.memory_new) make, std::size_t n, void** to) {
    ++allocations;
    if (fails()) return HEADRACE_OUT_OF_MEMORY;
    const headrace_status made = make(n, to);
    if (made == HEADRACE_OK && n != 0) std::memset(*to, 0xFF, n);
    return made;
  }

  template <auto Member, class Args>
  static headrace_status run(const Args* args, void* stream, void* workspace, std::size_t bytes) {
    return fails() ? status : (real.*Member).run(args, stream, workspace, bytes);
  }
  template <auto Member, class Args>
  static void watch(device_op<Args>& op) {
    op.run = run<Member, Args>;
  }

  static device_library over(device_library library) {
    real = library;
    calls = failing = allocations = 0;
    status = HEADRACE_DEVICE_FAILED;
    library.memory_new = [](std::size_t n, void** to) {
      return new_memory(real.memory_new, n, to);
    };
    library.host_memory_new = [](std::size_t n, void** to) {
      return new_memory(real.host_memory_new, n, to);
    };
    library.copy = [](void* to, const void* from, std::size_t n, void* stream) {
      return fails() ? status : real.copy(to, from, n, stream);
    };
    library.fill = [](void* to, std::int32_t value, std::size_t n, void* stream) {
      return fails() ? status : real.fill(to, value, n, stream);
    };
    library.stream_wait = [](void* stream) { return fails() ? status : real.stream_wait(stream); };
    watch<&device_library::fields>(library.fields);
    watch<&device_library::fields_backward>(library.fields_backward);
    watch<&device_library::linear>(library.linear);
    watch<&device_library::linear_backward>(library.linear_backward);
    watch<&device_library::copy_columns>(library.copy_columns);
    watch<&device_library::scale>(library.scale);
    watch<&device_library::fm>(library.fm);
    watch<&device_library::fm_backward>(library.fm_backward);
    watch<&device_library::bce>(library.bce);
    return library;
  }
};

inline std::vector<model_feature> case_features() {
  return {{"id0", false}, {"id1", false}, {"id2", false}, {"x0", true}, {"x1", true}};
}

/// A graph with every operator that has a device form: numbers beside vectors, an output with two
/// readers, two losses of which one is weighted.
inline constexpr std::string_view every_form = R"(
[layers.embedding]
op = "rows"
dim = 3
[layers.fm]
op = "factorization"
inputs = ["embedding"]
[layers.ids]
op = "rows"
dim = 4
first_order = false
features = ["id0", "id2"]
[layers.vectors]
op = "fields"
inputs = ["ids"]
[layers.x]
op = "numbers"
[layers.wide]
op = "concat"
inputs = ["vectors", "x"]
[layers.deep1]
op = "linear"
inputs = ["wide"]
units = 6
activation = "silu"
[layers.deep2]
op = "linear"
inputs = ["deep1"]
units = 6
activation = "tanh"
[layers.both]
op = "sum"
inputs = ["deep1", "deep2", "deep1"]
[layers.deep3]
op = "linear"
inputs = ["both"]
units = 1
[layers.other]
op = "linear"
inputs = ["deep2"]
units = 1
[layers.logit]
op = "sum"
inputs = ["fm", "deep3"]
[layers.click]
op = "bce"
inputs = ["logit"]
[layers.buy]
op = "bce"
inputs = ["other"]
label = 2
weight = 0.3
)";

inline std::shared_ptr<const model_graph> load_case(const std::string& name) {
  const auto features = case_features();
  const model_preset* preset = find_preset(name);
  const std::string text(preset == nullptr ? every_form : preset->text);
  auto loaded = model_graph::load(text, name, {}, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

inline schemas::sample_batch random_batch(std::size_t samples,
                                          random_stream& random,
                                          bool values = true) {
  const auto features = case_features();
  schemas::sample_batch batch;
  batch.samples = static_cast<std::uint32_t>(samples);
  batch.features = static_cast<std::uint32_t>(features.size());
  batch.label_count = 2;
  for (std::size_t s = 0; s < samples; ++s) {
    for (int l = 0; l < 2; ++l) batch.labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
    for (const model_feature& feature : features) {
      batch.keys.push_back(random.next_below(40));
      if (values)
        batch.values.push_back(feature.number ? static_cast<float>(random.next_unit() * 2 - 1)
                                              : 1.0F);
    }
  }
  return batch;
}

/// Rows of a batch, drawn.
inline std::vector<row_set> drawn_sets(graph_model& model,
                                       const schemas::sample_batch& batch,
                                       random_stream& random) {
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  for (row_set& set : sets)
    for (float& value : set.values) value = static_cast<float>(random.next_unit() - 0.5);
  return sets;
}

}  // namespace headrace::worker
