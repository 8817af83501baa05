#pragma once

#include "actors/messages.hpp"

#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>

/// The map of the system: every actor's typed interface, in data-flow order.
namespace headrace::actors {

/// Reads a source at its pace, seals batches, appends them to the sample log, hands them to the
/// worker while it has permits. Ends itself when the source is finished and everything was handed
/// over.
using ingest_handle = caf::typed_actor<
    // The worker can take this many more batches.
    caf::reacts_to<more_atom, std::uint32_t>,
    // Time to read, or to seal a batch that waited long enough.
    caf::reacts_to<tick_atom>,
    // A live source has more.
    caf::reacts_to<arrived_atom>,
    // On with the next pass, where it halts between two.
    caf::reacts_to<go_on_atom>,
    // Seals what it holds, marks it last, and reads no more.
    caf::reacts_to<stop_atom>>;

/// The same source in a process of its own: seals batches as events come and answers workers that
/// ask for them (message_kind::samples).
using samples_handle = caf::typed_actor<
    // One request; answered on the job's own path, when there is a batch or it has waited enough.
    caf::reacts_to<serve_atom, section_job_ptr>,
    // Time to read, to seal a batch that waited long enough, or to answer who did.
    caf::reacts_to<tick_atom>,
    // A live source has more.
    caf::reacts_to<arrived_atom>,
    // Seals what it holds and reads no more; goes on answering.
    caf::reacts_to<stop_atom>>;

/// Trains on sealed batches: pull → forward → backward → push, in order, within its permits.
using worker_handle = caf::typed_actor<
    // A sealed batch, in log order, each once.
    caf::reacts_to<sealed_atom, sample_batch_ptr>,
    // One answered section of a pull, push or control request.
    caf::reacts_to<answer_atom, answer_ptr>,
    // Deadlines, progress.
    caf::reacts_to<tick_atom>,
    // Finishes what is in flight, then ends.
    caf::reacts_to<stop_atom>>;

/// Owns one shard and is the only writer of its rows.
using shard_handle = caf::typed_actor<
    // One section; answered on the job's own path. Fails in the answer: gap, stale_epoch,
    // overloaded, …
    caf::reacts_to<serve_atom, section_job_ptr>,
    // The log says what became of the append at this position.
    caf::reacts_to<settle_atom, std::uint64_t, outcome_ptr>,
    // A work that waited for a disk has ended; what follows.
    caf::reacts_to<done_atom, done_ptr>,
    // Time for rows to expire.
    caf::reacts_to<tick_atom>,
    // Time to tell those who follow what changed.
    caf::reacts_to<follow_atom>,
    // Something of this process to do with the shard, between two messages.
    caf::reacts_to<visit_atom, visit_ptr>,
    // Time to write changed rows whole. A failure is logged and tried again at the next interval.
    caf::reacts_to<flush_atom>>;

}  // namespace headrace::actors
