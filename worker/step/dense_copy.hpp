#pragma once

#include "schemas/push.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/step/gradient_packer.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// What a worker holds of the network of a model between batches: the parameters as pulled last,
/// and the gradients summed since they were pushed last. Rows of other tables belong to a batch,
/// these to none. Single-threaded: the trainer owns it.
class dense_copy {
 public:
  dense_copy(const graph_model& model, std::uint32_t shards);

  /// A model without a network has none.
  bool empty() const { return tables_.empty(); }
  /// Its tables, each with all keys.
  std::span<const row_set> tables() const { return tables_; }

  /// Parameters that were pulled with a step are the ones from now on.
  void take_pulled(std::span<row_set> sets, const pull_plan& pulled);
  /// The step's sets get the parameters and zero gradients, until `take_back`. Requires that they
  /// were pulled once.
  void lend(std::span<row_set> sets);
  /// The parameters come back; where `sum`, the gradients are added to what was summed.
  void take_back(std::span<row_set> sets, bool sum);

  /// Section of `header.shard` with everything summed, or an empty frame when no row lives there;
  /// the header alone where nothing was summed.
  frame section(schemas::push_section header, gradient_packer& packer) const;
  /// What was summed is pushed.
  void start_anew() { summed_ = false; }

 private:
  std::vector<row_set> tables_;  // values as pulled, gradients summed
  std::vector<std::vector<float>> lent_gradients_;
  pull_plan homes_;  // which rows live where
  std::vector<std::uint64_t> versions_;
  std::vector<headrace::epoch> epochs_;
  bool pulled_ = false;
  bool summed_ = false;
};

}  // namespace headrace::worker
