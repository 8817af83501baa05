#pragma once

#include "bench/deepfm/deepfm.hpp"
#include "bench/deepfm/layer_clock.hpp"
#include "bench/deepfm/loss_match.hpp"
#include "bench/deepfm/step_clock.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace headrace::bench {

/// Of PyTorch with so many threads: batch / median step, by round.
struct peer_rates {
  std::uint32_t threads = 1;
  std::vector<double> rates = {};
};

/// A layer's part of `learn`.
struct layer_time {
  std::string name;
  std::string op;
  layer_clock::seconds spent = {};
};

/// What `bench deepfm` found.
struct deepfm_report {
  deepfm_options options;
  std::vector<double> ours;         // samples a second by round: all that was learned, by wall time
  std::vector<peer_rates> pytorch;  // empty: it was not there
  std::string peer;                 // its version, or why it was not there
  worker::precision precision = worker::precision::f32;  // what was computed in
  kernels::half_machine machine = kernels::half_machine::plain;
  loss_match losses;
  step_clock::seconds spent = {};  // of all threads and rounds
  std::vector<layer_time> layers;  // of all threads and rounds; with `profile`
  std::string weight;              // what came of raising the scheduler weight
  std::string command;
};

/// One JSON object on one line, with commit, machine and load.
std::string to_json(const deepfm_report& report);
/// The same for people.
std::string to_table(const deepfm_report& report);

}  // namespace headrace::bench
