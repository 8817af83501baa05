#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/pass_figures.hpp"
#include "worker/step/batch_scorer.hpp"
#include "worker/step/next_item_ranking.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace headrace::cli {

/// Validates a replayed job between its passes, with the rows that its shards have then: full
/// ranking of the last id but one of each list (worker/step/next_item_ranking.hpp). Figures stay in
/// a file, so that a resumed run decides as one that was never interrupted.
class pass_validation {
 public:
  /// Reads the cases from the job's source, and the figures of earlier runs from `file`; a damaged
  /// last line (a kill) is dropped. Fails: as the source, io_error.
  static result<pass_validation> open(const job& described, std::filesystem::path file);

  /// Validates after `pass`, at `now_ms`, unless it is not due or was validated before. Fails: as
  /// next_item_ranking::rank. A full disk costs the line in the file, nothing else.
  result<void> add(std::uint64_t pass,
                   std::uint64_t now_ms,
                   const worker::batch_scorer::row_pull& pull,
                   const std::function<bool()>& stopped);
  /// No more passes are wanted.
  bool enough() const { return is_enough(passes_, patience_); }
  const std::vector<pass_figures>& passes() const { return passes_; }

 private:
  explicit pass_validation(worker::next_item_ranking cases) : cases_(std::move(cases)) {}
  void keep(const pass_figures& figures) const;

  worker::next_item_ranking cases_;
  std::shared_ptr<const worker::model_graph> model_;
  schemas::job_schema schema_;
  std::filesystem::path file_;
  std::uint32_t every_ = 1;  // passes; and the last
  std::uint32_t last_ = 1;
  std::uint32_t patience_ = 0;
  std::vector<pass_figures> passes_;
};

}  // namespace headrace::cli
