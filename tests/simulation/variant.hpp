#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace headrace::simulation {

/// What a run is made with: the product, or something with one mistake built in that the simulator
/// must catch.
enum class variant : std::uint8_t {
  product,

  // A second, simpler shard (known_wrong_shard.hpp).
  twin,  // without a mistake: shows that the others die of theirs and nothing else
  no_dedupe,
  acknowledges_before_commit,
  acknowledges_duplicates_before_commit,
  accepts_gaps,
  watermark_before_record,  // kept apart, written when a push is admitted: it survives a record
                            // that does not
  watermark_after_record,   // kept apart, written now and then: a record survives without it
  shows_uncommitted,
  applies_before_commit,  // nobody sees it, but what is rolled back stays applied
  omits_voids,            // refuses for good and writes nothing

  // The product over a background with a mistake (wrong_background.hpp).
  tells_done_before_work,
  finish_does_not_wait,  // works of a dead incarnation go on beside the next one

  // The product over a row store with a mistake (wrong_row_store.hpp).
  write_lands_late,    // an evicted row is read again before its write landed
  reads_stale_copies,  // what was there before the last write
  forgets_row_lsn,     // redo cannot tell what a row has learned
  position_before_rows,
  loses_a_row,
  stored_rows_do_not_age,  // an expired row comes back
  hides_failed_writes,

  // The product over a log with a mistake (wrong_log.hpp).
  truncates_past_flushed,
  takes_unknown_for_refused,
  acknowledges_what_is_buffered,
  decides_again_in_redo,    // what was decided before append is not in the record
  loses_the_newest_record,  // in a restart

  // The product held by a wrong owner (shard_under_test.cpp).
  ignores_keep_log_from,  // truncates past what a checkpoint needs

  // Workers with a mistake (wrong_worker.hpp).
  resumes_from_maximum,  // past a shard that the batches between did not reach
  unsealed_batch,        // a retry brings other contents
  two_sections_of_a_batch,
};

/// In words, as a test is named by them.
std::string_view name(variant kind);

/// Whether the shard is not the product's.
constexpr bool is_known_wrong(variant kind) {
  return kind >= variant::twin && kind <= variant::omits_voids;
}

/// Every one with a mistake.
std::initializer_list<variant> mutants();

}  // namespace headrace::simulation
