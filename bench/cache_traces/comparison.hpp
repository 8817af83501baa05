#pragma once

#include "bench/cache_traces/key_stream.hpp"
#include "ps/cache/cache_policy.hpp"
#include "worker/prefetch/prefetch_trial.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace headrace::bench {

/// What one policy of evicting made of a stream.
struct policy_result {
  ps::cache_policy_kind policy;
  double hit_ratio = 0;  // over the uses that count
  double ns_per_use = 0;
  double bytes_per_entry = 0;
};
/// All policies on one stream, `share` of the distinct keys held.
struct policy_point {
  std::string stream;
  double share = 0;
  std::size_t entries = 0;  // floor(share × distinct), at least 1
  std::size_t counted = 0;  // uses
  std::vector<policy_result> results;
};
policy_point compare_policies(const key_stream& stream, double share);

/// What guessing made of a stream: the LSTM, and for comparison the succession memory alone, which
/// asks for every key that it proposes (`proposals`) or for the one that came last (`latest`).
struct prefetch_point {
  std::string stream;
  double share = 0;
  std::size_t entries = 0;
  std::size_t batch = 0;                     // keys between two predictions
  worker::prefetch_trial::figures lstm;      // windows judged, on trial or on
  worker::prefetch_trial::figures while_on;  // of which guesses were fetched
  worker::prefetch_trial::figures proposals;
  worker::prefetch_trial::figures latest;
  double us_per_key = 0;
  std::string report;
};
prefetch_point compare_prefetch(const key_stream& stream, double share, std::size_t batch);

std::string to_json(const policy_point& point);
std::string to_json(const prefetch_point& point);
/// For people: points of one stream.
std::string to_table(std::span<const policy_point> points);
std::string to_table(std::span<const prefetch_point> points);

}  // namespace headrace::bench
