#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "schemas/schema.hpp"
#include "worker/step/row_set.hpp"

namespace headrace::worker {

/// A copy of the model as of one moment that never learns again: what online learning is measured against.
///
/// Until the freeze it notes which rows the stream has met; at the freeze the worker pulls just those.
/// Ids first seen later get the default row: the initial values of their table.
/// Single-threaded: the trainer owns it.
class frozen_twin {
 public:
  explicit frozen_twin(const schemas::job_schema& schema);

  bool frozen() const { return frozen_; }
  /// Before the freeze: remembers the batch's keys.
  void note(std::span<const row_set> sets);
  /// Everything noted, as row sets of at most `rows_max` keys each, to be pulled.
  std::vector<row_set> noted(std::size_t rows_max) const;
  /// Keeps pulled rows; `freeze` then ends the noting.
  void keep(const row_set& pulled);
  void freeze();

  /// Fills `values` of each set with frozen rows.
  void fill(std::span<row_set> sets) const;

  std::size_t rows() const;
  /// Memory held, in bytes, about.
  std::size_t bytes() const;

 private:
  struct table_copy {
    schemas::table_spec spec;
    std::unordered_set<std::uint64_t> seen;
    std::unordered_map<std::uint64_t, std::size_t> place;  // key → offset into values
    std::vector<float> values;
  };
  std::vector<table_copy> tables_;
  bool frozen_ = false;
};

}  // namespace headrace::worker
