#pragma once

#include "kernels/dedup/dedup.hpp"
#include "schemas/sample.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/row_set.hpp"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace headrace::worker {

/// Which rows of a graph's tables a batch needs, each once, and where in the batch they are used.
///
/// Buffers are kept, so that a batch of the usual size allocates nothing. Deterministic: keys in
/// the order in which the batch first names them. Single-threaded: the model owns it.
class batch_rows {
 public:
  explicit batch_rows(std::shared_ptr<const model_graph> graph) : graph_(std::move(graph)) {}

  /// Fills keys, counts and inverse of the tables for `batch`; `sets` keeps its buffers. sets[i] is
  /// table i of the graph. Those of a network get no keys: its matrices are the same for each
  /// batch.
  void plan(const schemas::sample_batch& batch, std::vector<row_set>& sets);
  /// Gives the tables of a network their keys, all of them, and buffers.
  void plan_network(std::vector<row_set>& sets) const;

 private:
  void choose_keys(const schemas::sample_batch& batch, const model_table& table, row_set& set);

  std::shared_ptr<const model_graph> graph_;
  kernels::dedup_scratch scratch_;
  std::vector<std::uint64_t> chosen_keys_;
};

}  // namespace headrace::worker
