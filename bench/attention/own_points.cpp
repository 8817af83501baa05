#include "bench/attention/own_points.hpp"

#include "bench/attention/gated_attention.hpp"
#include "bench/attention/own_attention.hpp"
#include "bench/rows64/summary.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

bool same_results(const own_attention& a, const own_attention& b) {
  return same_bits(a.o(), b.o()) && same_bits(a.gradients(), b.gradients());
}

double seconds_of(const std::function<void()>& call) {
  const auto from = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

/// Rounds of calls of one and the other in turn, so that what slows the machine slows both.
template <class Part, class Whole>
void measure(Part& part, Whole& whole, const layer_run& run, own_point& point) {
  using clock = std::chrono::steady_clock;
  for (std::uint32_t round = 0; round < run.rounds; ++round) {
    std::array<std::vector<double>, 4> times;
    const auto begin = clock::now();
    while (times[0].size() < 3 ||
           std::chrono::duration<double>(clock::now() - begin).count() < run.seconds) {
      times[0].push_back(seconds_of([&part] { part.forward(); }));
      times[1].push_back(seconds_of([&whole] { whole.forward(); }));
      times[2].push_back(times[0].back() + seconds_of([&part] { part.backward(); }));
      times[3].push_back(times[1].back() + seconds_of([&whole] { whole.backward(); }));
    }
    point.forward.push_back(summarize(times[0]).median);
    point.whole_forward.push_back(summarize(times[1]).median);
    point.both.push_back(summarize(times[2]).median);
    point.whole_both.push_back(summarize(times[3]).median);
  }
}

/// Times faster than the whole, and the share of its time.
struct gain {
  summary forward;
  summary both;
};
gain faster(const own_point& point) {
  return {ratio_of(point.whole_forward, point.forward), ratio_of(point.whole_both, point.both)};
}

double pairs_of(const kernels::attention_mask& mask, std::size_t length) {
  double pairs = 0;
  for (std::size_t i = 0; i < length; ++i) {
    const std::size_t near = std::min(i + 1, mask.window);
    pairs += static_cast<double>(near + std::min(mask.globals, i + 1 - near));
  }
  return pairs;
}

std::string formatted(const char* how, double a, double b, double c) {
  char text[128];
  std::snprintf(text, sizeof text, how, a, b, c);
  return text;
}

}  // namespace

own_point measure_window(std::size_t tokens, const layer_run& run) {
  const kernels::attention_mask full = {.causal = true};
  const kernels::attention_mask window = {.causal = true, .window = 256, .globals = 8};
  const kernels::attention_mask covering = {.causal = true, .window = tokens, .globals = 8};
  own_attention_shape shape = {
      .batch = run.threads, .seq = tokens, .heads = 1, .head_dim = 64, .mask = full};
  own_attention whole(shape, run.threads);
  shape.mask = window;
  own_attention windowed(shape, run.threads);
  own_point point{.point = "window",
                  .words = "a window of 256 and 8 globals at " + std::to_string(tokens) +
                           " tokens, a head of 64",
                  .whole = "full causal attention",
                  .threads = run.threads,
                  .forward = {},
                  .whole_forward = {},
                  .kept = pairs_of(window, tokens) / pairs_of(full, tokens),
                  .same_bits = {}};
  measure(windowed, whole, run, point);
  shape.mask = covering;
  own_attention covered(shape, run.threads);
  covered.forward();
  covered.backward();
  point.same_bits = same_results(covered, whole);
  return point;
}

own_point measure_gate(const attention_shape& shape, double share, const layer_run& run) {
  const own_attention_shape heads = {.batch = shape.batch,
                                     .seq = shape.seq,
                                     .heads = shape.heads,
                                     .head_dim = shape.dim / shape.heads};
  own_attention whole(heads, run.threads);
  gated_attention gated(heads, share, run.threads);
  own_point point{.point = "gate",
                  .words = "gated heads, batch " + std::to_string(shape.batch) + ", " +
                           std::to_string(shape.seq) + " tokens, " + std::to_string(shape.heads) +
                           " heads of " + std::to_string(heads.head_dim),
                  .whole = "all heads without a gate",
                  .threads = run.threads,
                  .forward = {},
                  .whole_forward = {},
                  .same_bits = {}};
  measure(gated, whole, run, point);
  point.kept = gated.active_share();
  gated_attention open(heads, 1.0, run.threads);
  open.forward();
  open.backward();
  point.same_bits = same_results(open.heads(), whole);
  return point;
}

std::string to_json(const own_point& point, const run_facts& facts) {
  json_line line;
  line.add("bench", "attention").add("point", point.point).add("threads", point.threads);
  line.add("kept", point.kept);
  add_spread(line, "forward_seconds", point.forward);
  add_spread(line, "whole_forward_seconds", point.whole_forward);
  add_spread(line, "seconds", point.both);
  add_spread(line, "whole_seconds", point.whole_both);
  const gain found = faster(point);
  line.add("forward_ratio", found.forward.median)
      .add("ratio", found.both.median)
      .add("forward_share", 1 / found.forward.median)
      .add("share", 1 / found.both.median)
      .add("same_bits", point.same_bits);
  add_facts(line, facts);
  return line.text();
}

std::string to_table(const own_point& point) {
  const gain found = faster(point);
  const auto row = [](const char* name, double ours, double whole, const summary& ratio) {
    return std::string("  ") + name +
           formatted("%9.2f ms, whole %9.2f ms:", ours * 1e3, whole * 1e3, 0) +
           formatted(" %.1f times faster, %.3f of the time, worst round %.3f\n",
                     ratio.median,
                     1 / ratio.median,
                     1 / ratio.min);
  };
  return "attention: " + point.words + " beside " + point.whole + ", " +
         std::to_string(point.threads) + " threads; " +
         formatted("%.3f of the pairs are left\n", point.kept, 0, 0) +
         row("forward              ",
             summarize(point.forward).median,
             summarize(point.whole_forward).median,
             found.forward) +
         row("forward and backward ",
             summarize(point.both).median,
             summarize(point.whole_both).median,
             found.both) +
         "  leaving nothing out, " +
         (point.same_bits.value_or(false) ? "the same bits\n" : "DIFFERENT BITS\n");
}

}  // namespace headrace::bench
