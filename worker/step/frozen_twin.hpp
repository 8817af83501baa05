#pragma once

#include "base/result.hpp"
#include "schemas/schema.hpp"
#include "worker/step/key_index.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// A copy of the model as of one moment that never learns again: what online learning is measured
/// against.
///
/// Until the freeze it notes which rows the stream has met; at the freeze the worker pulls just
/// those. Ids first seen later get the default row: the initial values of their table.
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

  /// The set's rows as frozen, into `values` [rows * dim], resized.
  void rows_of(const row_set& set, std::vector<float>& values) const;

  /// The frozen rows as bytes, little-endian, versioned. Requires `frozen`.
  std::vector<std::byte> save() const;
  /// Becomes a frozen twin again. Fails: corrupt (damaged, or of other tables), and changes nothing
  /// then.
  result<void> load(std::span<const std::byte> bytes);

  std::size_t rows() const;
  /// Memory held, in bytes.
  std::size_t bytes() const;

 private:
  struct table_copy {
    schemas::table_spec spec;
    key_index seen;
    key_index kept;
    std::vector<float> values;  // [kept rows * dim], in the order of kept
  };
  std::vector<table_copy> tables_;
  bool frozen_ = false;
};

}  // namespace headrace::worker
