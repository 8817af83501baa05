#include "bench/torch/beside_torch.hpp"

#include "bench/rows64/summary.hpp"
#include "bench/torch/on_threads.hpp"
#include "bench/torch/tensor_file.hpp"
#include "bench/torch/torch_peer.hpp"
#include "kernels/gemm/gemm.hpp"

#include <chrono>
#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

result<torch_peer> start_peer(const layer_case& what, const layer_run& run, unsigned threads) {
  std::vector<std::string> arguments = {
      run.folder.string(), std::to_string(run.seconds), std::to_string(threads)};
  arguments.insert(arguments.end(), what.sizes.begin(), what.sizes.end());
  return torch_peer::start(
      {.python = run.python, .script = what.script, .arguments = std::move(arguments)});
}

result<void> compare(const layer& ours, const layer_run& run, layer_point& point) {
  auto& differences = point.differences;
  differences.clear();
  for (const layer_tensor& output : ours.outputs()) {
    const auto theirs = read_tensor(run.folder / ("pytorch_" + output.name), output.values.size());
    if (!theirs) return theirs.error();
    const double difference = relative_difference(output.values, *theirs);
    if (!(difference <= difference_max)) {
      char text[96];
      std::snprintf(text, sizeof text, ": relative difference %.2g", difference);
      return error{errc::malformed, output.name + " is not PyTorch's" + text};
    }
    differences.emplace_back(output.name, difference);
  }
  return {};
}

/// PyTorch with as many threads as ours, and with one, where there is one; the point says what it
/// is, or why there is none. Each has given the outputs of ours.
result<std::vector<torch_peer>> start_peers(const layer& ours,
                                            const layer_run& run,
                                            layer_point& point) {
  std::vector<torch_peer> peers;
  for (const unsigned threads : std::set<unsigned>{1, run.threads}) {
    auto peer = start_peer(point.what, run, threads);
    point.peer = peer ? peer->words() : peer.error().detail;
    if (!peer) {
      point.pytorch.clear();
      return std::vector<torch_peer>{};
    }
    if (auto same = compare(ours, run, point); !same) return same.error();
    peers.push_back(std::move(*peer));
    point.pytorch.push_back({.threads = threads});
  }
  const auto rate = peers.back().ask("gemm");
  if (!rate) return rate.error();
  point.pytorch_gemm_flops = *rate * 1e9;
  return peers;
}

}  // namespace

double median_time(double seconds, const std::function<void()>& step) {
  std::vector<double> times;
  const auto begin = steady_clock::now();
  while (times.size() < 3 || seconds_since(begin) < seconds) {
    const auto from = steady_clock::now();
    step();
    times.push_back(seconds_since(from));
  }
  return summarize(std::move(times)).median;
}

double gemm_flops(unsigned threads) {
  constexpr std::size_t n = 1'024;
  struct product {
    std::vector<float> a = std::vector<float>(n * n, 1.0F);
    std::vector<float> b = std::vector<float>(n * n, 1.0F);
    std::vector<float> c = std::vector<float>(n * n);
    std::vector<float> workspace = std::vector<float>(kernels::gemm_workspace(n, n, n));
  };
  std::vector<product> products(threads);
  const double seconds = median_time(0.2, [&] {
    on_threads(threads, [&](unsigned i) {
      product& one = products[i];
      kernels::gemm({.a = one.a.data(),
                     .a_stride = n,
                     .b = one.b.data(),
                     .b_stride = n,
                     .c = one.c.data(),
                     .c_stride = n,
                     .m = n,
                     .n = n,
                     .k = n,
                     .workspace = one.workspace});
    });
  });
  return 2.0 * n * n * n * threads / seconds;
}

result<layer_point> measure_beside_torch(layer& ours,
                                         const layer_case& what,
                                         const layer_run& run) {
  layer_point point{.what = what, .threads = run.threads, .ours = {}, .pytorch = {}, .peer = {}};
  const auto bound = [&ours] { ours.limit(); };
  for (const layer_tensor& input : ours.inputs()) {
    if (auto written = write_tensor(run.folder / input.name, input.values); !written)
      return written.error();
  }
  const auto step = [&ours] { ours.step(); };
  step();
  auto peers = start_peers(ours, run, point);
  if (!peers) return peers.error();
  if (what.flop > 0) point.gemm_flops = gemm_flops(run.threads);
  for (std::uint32_t round = 0; round < run.rounds; ++round) {
    point.ours.push_back(median_time(run.seconds, step));
    if (!what.limit.empty()) point.limit.push_back(median_time(run.seconds, bound));
    for (std::size_t i = 0; i < peers->size(); ++i) {
      const auto seconds = (*peers)[i].ask("step");
      if (!seconds) return seconds.error();
      point.pytorch[i].seconds.push_back(*seconds);
    }
  }
  return point;
}

}  // namespace headrace::bench
