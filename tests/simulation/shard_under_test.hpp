#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "ps/shard/background.hpp"
#include "ps/shard/durable_shard.hpp"
#include "ps/shard/shard.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"
#include "tests/simulation/variant.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace headrace::simulation {

/// Watermarks kept apart from the log, by source: what two of the mutants persist.
using side_watermarks = std::map<std::string, batch_number>;

/// The seam between simulator and shard: one incarnation, as the shard actor holds it.
class shard_under_test {
 public:
  using answer = std::function<void(frame reply)>;
  using delivery = std::function<void(lsn at, storage::append_outcome outcome)>;
  using flushed = std::function<void(const result<lsn>&)>;

  struct parts {
    shard_id id;
    schemas::job_schema schema;
    std::unique_ptr<storage::ordered_log> log;
    storage::row_store* rows = nullptr;
    const clock* time = nullptr;
    std::unique_ptr<ps::background> io;
    side_watermarks* side = nullptr;
    delivery deliver;
    ps::durability_options how;
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
  virtual void flush_later(flushed done) = 0;
  /// Lets rows expire by records.
  virtual void tick() {}
  virtual void keep_log_from(lsn keep) = 0;
  virtual result<schemas::digest_reply> digest() const = 0;
  virtual const ps::shard& state() const = 0;
};

/// Pushes of one shard that may wait for the log: few, so that the bound is met.
inline constexpr std::size_t in_flight_max = 4;
/// A fresh state machine, limits as every simulated shard has them.
std::unique_ptr<ps::shard> new_state(shard_id id, const schemas::job_schema& schema);

}  // namespace headrace::simulation
