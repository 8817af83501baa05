#include "tests/simulation/variant.hpp"

namespace headrace::simulation {

std::string_view name(variant kind) {
  switch (kind) {
    case variant::product:
      return "product";
    case variant::twin:
      return "twin";
    case variant::no_dedupe:
      return "no dedupe";
    case variant::acknowledges_before_commit:
      return "acknowledges before commit";
    case variant::acknowledges_duplicates_before_commit:
      return "acknowledges duplicates before commit";
    case variant::accepts_gaps:
      return "accepts gaps";
    case variant::watermark_before_record:
      return "watermark apart from record, written before it";
    case variant::watermark_after_record:
      return "watermark apart from record, written after it";
    case variant::shows_uncommitted:
      return "shows uncommitted rows";
    case variant::applies_before_commit:
      return "applies before commit";
    case variant::omits_voids:
      return "omits voids";
    case variant::tells_done_before_work:
      return "tells done before the work ran";
    case variant::finish_does_not_wait:
      return "finish does not wait for works";
    case variant::write_lands_late:
      return "evicted row is read again before its write landed";
    case variant::reads_stale_copies:
      return "reads stale copies of rows";
    case variant::forgets_row_lsn:
      return "row LSN ignored";
    case variant::position_before_rows:
      return "position durable before its rows";
    case variant::loses_a_row:
      return "loses a row of a write";
    case variant::stored_rows_do_not_age:
      return "expired row comes back from the store";
    case variant::hides_failed_writes:
      return "hides failed writes of rows";
    case variant::truncates_past_flushed:
      return "truncates past the flushed position";
    case variant::takes_unknown_for_refused:
      return "takes an unknown outcome for a refusal";
    case variant::acknowledges_what_is_buffered:
      return "log acknowledges what it has buffered";
    case variant::decides_again_in_redo:
      return "admission decided in redo";
    case variant::loses_the_newest_record:
      return "log loses its newest record in a restart";
    case variant::ignores_keep_log_from:
      return "truncates past what a checkpoint needs";
    case variant::resumes_from_maximum:
      return "resumes from the maximum over the shards";
    case variant::unsealed_batch:
      return "unsealed batch";
    case variant::two_sections_of_a_batch:
      return "two sections of a batch to a shard";
  }
  return "?";
}

std::initializer_list<variant> mutants() {
  static constexpr auto all = {
      variant::no_dedupe,
      variant::acknowledges_before_commit,
      variant::acknowledges_duplicates_before_commit,
      variant::accepts_gaps,
      variant::watermark_before_record,
      variant::watermark_after_record,
      variant::shows_uncommitted,
      variant::applies_before_commit,
      variant::omits_voids,
      variant::tells_done_before_work,
      variant::finish_does_not_wait,
      variant::write_lands_late,
      variant::reads_stale_copies,
      variant::forgets_row_lsn,
      variant::position_before_rows,
      variant::loses_a_row,
      variant::stored_rows_do_not_age,
      variant::hides_failed_writes,
      variant::truncates_past_flushed,
      variant::takes_unknown_for_refused,
      variant::acknowledges_what_is_buffered,
      variant::decides_again_in_redo,
      variant::loses_the_newest_record,
      variant::ignores_keep_log_from,
      variant::resumes_from_maximum,
      variant::unsealed_batch,
      variant::two_sections_of_a_batch,
  };
  return all;
}

}  // namespace headrace::simulation
