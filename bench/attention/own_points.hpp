#pragma once

#include "bench/attention/attention_layer.hpp"
#include "bench/torch/layer_run.hpp"

#include <optional>
#include <string>
#include <vector>

namespace headrace::bench {

/// Attention that leaves something out, beside our own that does not: seconds by round.
struct own_point {
  std::string point;
  std::string words;
  std::string whole;  // what it stands beside
  unsigned threads = 1;
  std::vector<double> forward;
  std::vector<double> whole_forward;
  std::vector<double> both = {};  // forward and backward
  std::vector<double> whole_both = {};
  double kept = 0;                // share of the pairs of query and key, of all heads
  std::optional<bool> same_bits;  // where it leaves nothing out
};

/// A window of 256 and 8 globals beside full causal attention, one head of 64 and a sequence of
/// `tokens` for each thread. `same_bits`: with a window of all tokens, o and the gradients are
/// those of no window.
own_point measure_window(std::size_t tokens, const layer_run& run);

/// Heads behind kernels/attention/head_gate beside all of them, for the sequences of `shape`: the
/// gate's threshold lets `share` of the pairs of sequence and head through. The gate's own forward
/// and backward count. `same_bits`: with every gate open, o and the gradients are those of none.
own_point measure_gate(const attention_shape& shape, double share, const layer_run& run);

/// One JSON object on one line.
std::string to_json(const own_point& point, const run_facts& facts);
/// The same for people.
std::string to_table(const own_point& point);

}  // namespace headrace::bench
