#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "ps/shard/shard.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace headrace::simulation {

/// Which shard a run is made with.
enum class variant : std::uint8_t {
  product,  // ps::durable_shard
  twin,     // known_wrong_shard without a mistake: shows that the mutants below die of theirs and
            // nothing else
  no_dedupe,
  acknowledge_before_commit,
  gap_accepted,
  watermark_before_record,  // kept apart, written when a push is admitted: it survives a record
                            // that does not
  watermark_after_record,   // kept apart, written now and then: a record survives without it
  shows_uncommitted,
};
std::string_view name(variant kind);

/// Watermarks kept apart from the log, by source: what two of the mutants persist.
using side_watermarks = std::map<std::string, batch_number>;

/// The seam between simulator and shard: one incarnation, as the shard actor holds it.
class shard_under_test {
 public:
  using answer = std::function<void(frame reply)>;
  using delivery = std::function<void(lsn at, storage::append_outcome outcome)>;

  struct parts {
    shard_id id;
    schemas::job_schema schema;
    std::unique_ptr<storage::ordered_log> log;
    storage::row_store* rows = nullptr;
    const clock* time = nullptr;
    side_watermarks* side = nullptr;
    delivery deliver;
  };
  static result<std::unique_ptr<shard_under_test>> open(variant kind, parts from);

  virtual ~shard_under_test() = default;
  virtual void push(const frame& section, answer reply) = 0;
  virtual void pull(const frame& section, answer reply) = 0;
  virtual schemas::watermark_reply watermarks(const schemas::watermark_request& request) const = 0;
  /// False: drop this incarnation and open another.
  virtual bool outcome(lsn at, const storage::append_outcome& outcome) = 0;
  virtual bool failed() const = 0;
  virtual result<lsn> flush() = 0;
  virtual const ps::shard& state() const = 0;
};

/// A fresh state machine, limits as every simulated shard has them.
std::unique_ptr<ps::shard> new_state(shard_id id, const schemas::job_schema& schema);

}  // namespace headrace::simulation
