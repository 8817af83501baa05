#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace headrace::cli {

/// What `headrace cross` looks for.
struct cross_order {
  std::vector<std::string> features;  // pairs of these; empty: of all id features
  std::size_t pairs_max = 1'000;      // more are refused
  std::uint64_t events_max = UINT64_MAX;
  std::size_t top = 8;  // so many are chosen at most
  std::size_t table_bytes = std::size_t{256} << 20;
  std::function<bool()> stopped;  // asked now and then; true ends it with `cancelled`
};

/// A pair of features and what a cross of them gains (worker/cross/cross_search.hpp).
struct crossed_pair {
  std::string name;  // for the cross: a name that no feature has
  std::string first;
  std::string second;
  double gain = 0.0;  // nats of logloss
  double standard_error = 0.0;
  double z = 0.0;
  double distinct = 0.0;
  bool crowded = false;
  bool worth_it = false;
  bool chosen = false;  // one of the first `top` that are worth it
};

struct cross_report {
  std::uint64_t events = 0;
  std::uint64_t bad_rows = 0;
  double base_auc = 0.5;
  double base_logloss = 0.0;
  double z_min = 0.0;
  std::size_t slots = 0;
  std::size_t bytes = 0;
  std::vector<crossed_pair> pairs;  // by falling gain
};

/// Reads the job's source once and tries every pair of its features of ids that is no cross yet.
/// Fails: bad_config (an unknown feature, no pair, too many), bad_input (no event), cancelled, and
/// as the source.
result<cross_report> find_crosses(const job& described, const cross_order& order);

/// A job file's text with the chosen crosses behind it, checked to be one. `origin` is the new
/// file's. Fails: as parse_job.
result<std::string> with_crosses(const std::string& text,
                                 const std::string& origin,
                                 const std::vector<crossed_pair>& pairs);

}  // namespace headrace::cli
