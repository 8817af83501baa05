#include "cli/state_rewind.hpp"

#include "cli/job_server.hpp"
#include "cli/state_manifest.hpp"
#include "ps/recovery/cut_tables.hpp"
#include "ps/recovery/install.hpp"
#include "ps/recovery/log_slice.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "storage/job_folder.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <future>
#include <memory>
#include <system_error>
#include <utility>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

using checkpoint = storage::archived_checkpoint;

error cannot(const std::string& why) { return {errc::bad_input, why}; }

result<std::unique_ptr<storage::segment_log>> open_log(const fs::path& folder,
                                                       lsn continue_after,
                                                       bool read_only) {
  storage::segment_log::options how;
  how.folder = folder;
  how.continue_after = continue_after;
  how.read_only = read_only;
  return storage::segment_log::open(std::move(how));
}

/// One shard as its server left it.
struct shard_now {
  std::unique_ptr<storage::segment_log> log;
  ps::position_state position;
  lsn flushed;                // rows hold everything through this
  lsn end;                    // last record that its tables have
  lsn next;                   // position of the next record
  std::vector<lsn> installs;  // where rows were put in place before
  lsn through;                // of the target, once it is known
};

/// The rows to begin from.
struct base_state {
  std::optional<checkpoint> from;  // none: nothing
  lsn cut(std::size_t shard) const { return from ? from->shards[shard].cut : lsn{}; }
};

class rewinding {
 public:
  rewinding(const job& described, const rewind_order& order, const clock& time)
      : job_(described), order_(order), time_(time) {}

  result<rewound> run(const fs::path& state, storage::checkpoint_archive* archive) {
    auto folder = storage::job_folder::open(state, identity(job_), storage::job_role::server);
    if (!folder) return folder.error();
    folder_ = std::move(*folder);
    scratch_ = folder_->root() / ".rewinding";
    if (auto cleared = clear_scratch(); !cleared) return cleared.error();
    if (auto read = read_now(); !read) return read.error();
    auto base = choose_base(archive);
    if (!base) return base.error();
    auto made = make_rows(*base, archive);
    if (made && !order_.dry_run) {
      if (auto installed = install(); !installed) return installed.error();
    }
    if (auto cleared = clear_scratch(); !cleared && made) return cleared.error();
    return made;
  }

 private:
  result<void> clear_scratch() const {
    std::error_code failure;
    fs::remove_all(scratch_, failure);
    if (failure) return storage::file_error("remove", scratch_, failure.value());
    return {};
  }

  result<void> read_now() {
    auto rows = storage::rocks_row_store::open(folder_->rows(), true);
    if (!rows) return rows.error();
    for (std::uint32_t s = 0; s < job_.schema.shards; ++s) {
      const shard_id id{s};
      const auto position = (*rows)->position(id);
      if (!position) return position.error();
      auto log = open_log(folder_->shard_log(id), lsn{}, true);
      if (!log) return log.error();
      shard_now now;
      now.log = std::move(*log);
      now.flushed = position->flushed;
      now.end = std::max(now.log->last().last, position->flushed);
      now.next = lsn{now.end.value + 1};
      auto scanned = now.log->read_from(lsn{1}, [&](const storage::log_record& record) {
        if (record.kind != storage::record_kind::install) return true;
        // Behind the rows' position it is of an attempt that was cut off.
        if (record.lsn > position->flushed) {
          now.end = lsn{record.lsn.value - 1};
          return false;
        }
        now.installs.push_back(record.lsn);
        return true;
      });
      if (!scanned) return scanned;
      auto tables = ps::cut_tables::open(id, job_.schema, **rows, *now.log, now.end);
      if (!tables) return tables.error();
      auto state = tables->position();
      if (!state) return state.error();
      now.position = std::move(*state);
      now_.push_back(std::move(now));
    }
    return {};
  }

  // ---- the target ----

  /// The last record of a shard that counts, of those behind `after`.
  result<lsn> through(const shard_now& now, lsn after) const {
    if (order_.to_lsn) return std::min(*order_.to_lsn, now.end);
    if (!order_.to_ms) return now.end;
    lsn last = after;
    auto read = now.log->read_from(lsn{after.value + 1}, [&](const storage::log_record& record) {
      if (record.stamp_ms > *order_.to_ms || record.lsn > now.end) return false;
      last = std::max(last, record.lsn);
      return true;
    });
    if (!read) return read.error();
    return last;
  }

  /// Why the target cannot be reached from there; nothing when it can. Fills `through`.
  result<std::optional<std::string>> misses(const base_state& base) {
    for (std::uint32_t s = 0; s < now_.size(); ++s) {
      shard_now& now = now_[s];
      const std::string name = "shard " + std::to_string(s);
      const lsn cut = base.cut(s);
      if (cut > now.end) return {name + " is behind it"};
      const auto last = through(now, cut);
      if (!last) return last.error();
      now.through = *last;
      if (cut > now.through) return {name + " was further then"};
      const auto kept = now.log->last();
      const bool connected = kept.first > lsn{} && kept.first.value <= cut.value + 1;
      // By time alone nobody knows what the log no longer holds.
      const bool is_there = now.end == cut || (!order_.to_ms && now.through == cut);
      if (base.from) {
        const auto ours = is_ours(now, base.from->shards[s]);
        if (!ours) return ours.error();
        if (!*ours) return {"it is not of this history, or " + name + " cannot tell"};
      }
      if (!connected && !is_there)
        return {"the log of " + name + " begins at record " + std::to_string(kept.first.value)};
      for (const lsn at : now.installs) {
        if (at > cut && at <= now.through)
          return {"rows of " + name + " were put in place at record " + std::to_string(at.value) +
                  ", behind it"};
      }
    }
    return std::optional<std::string>{};
  }

  /// Whether the checkpoint's last record is the one that the log has there, or rows end with.
  static result<bool> is_ours(const shard_now& now, const checkpoint::shard& of) {
    if (of.cut == lsn{}) return true;
    if (of.cut == now.end) return of.stamp_ms == now.position.stamp_ms;
    bool same = false;
    auto read = now.log->read_from(of.cut, [&](const storage::log_record& record) {
      same = record.lsn == of.cut && record.stamp_ms == of.stamp_ms;
      return false;
    });
    if (!read) return read.error();
    return same;
  }

  bool is_early_enough(const checkpoint& one) const {
    if (one.shards.size() != now_.size()) return false;
    const auto before = [&](std::uint64_t ms) {
      return std::ranges::all_of(one.shards, [&](const auto& of) { return of.stamp_ms <= ms; });
    };
    if (order_.to_ms && !before(*order_.to_ms)) return false;
    if (order_.without.empty()) return true;
    if (order_.from_ms > 0) return before(order_.from_ms - 1);
    return std::ranges::none_of(one.watermarks, [&](const auto& mark) {
      return mark.source.starts_with(order_.without + "#");
    });
  }

  result<base_state> choose_base(storage::checkpoint_archive* archive) {
    std::string why = "no checkpoint is old enough";
    if (archive != nullptr) {
      auto found = archive->list();
      if (!found) return found.error();
      for (checkpoint& one : found->checkpoints) {
        if (one.job != folder_->job().name || one.fingerprint != folder_->job().fingerprint)
          continue;
        if (!is_early_enough(one)) continue;
        base_state base{std::move(one)};
        const auto missed = misses(base);
        if (!missed) return missed.error();
        if (!*missed) return base;
        why = "from checkpoint " + base.from->id + " it cannot: " + **missed;
      }
    }
    base_state nothing;
    const auto missed = misses(nothing);
    if (!missed) return missed.error();
    if (!*missed) return nothing;
    return cannot("the rows of then cannot be made again: " + why + "; and from nothing: " +
                  **missed + ". Checkpoints with checkpoint.keep_log keep what this needs");
  }

  // ---- the rows ----

  fs::path log_of_base(shard_id id) const {
    return scratch_ / folder_->shard_log(id).lexically_relative(folder_->root());
  }

  result<rewound> make_rows(const base_state& base, storage::checkpoint_archive* archive) {
    rewound made;
    if (base.from) {
      made.base = base.from->id;
      if (auto loaded = archive->download(base.from->id, scratch_); !loaded) return loaded.error();
    } else if (auto folder = storage::make_folder(scratch_); !folder) {
      return folder.error();
    }
    auto rows = storage::rocks_row_store::open(scratch_ / "rows");
    if (!rows) return rows.error();
    schemas::hash128 sum;
    for (std::uint32_t s = 0; s < now_.size(); ++s) {
      auto done = make_shard(shard_id{s}, base, **rows, made, sum);
      if (!done) return done.error();
    }
    made.digest = schemas::to_string(sum);
    return made;
  }

  result<void> make_shard(shard_id id,
                          const base_state& base,
                          storage::row_store& rows,
                          rewound& made,
                          schemas::hash128& sum) {
    shard_now& now = now_[id.value];
    std::vector<storage::ordered_log*> logs;
    std::unique_ptr<storage::segment_log> tail;
    if (base.from) {
      auto opened = open_log(log_of_base(id), lsn{}, true);
      if (!opened) return opened.error();
      tail = std::move(*opened);
      logs.push_back(tail.get());
    }
    logs.push_back(now.log.get());
    ps::log_slice records(std::move(logs), now.through);
    auto tables = order_.without.empty()
                      ? ps::cut_tables::open(id, job_.schema, rows, records, now.through)
                      : ps::cut_tables::open_without(id,
                                                     job_.schema,
                                                     rows,
                                                     records,
                                                     now.through,
                                                     {.source = order_.without,
                                                      .from_ms = order_.from_ms,
                                                      .decide_after = base.cut(id.value)});
    if (!tables) return tables.error();
    const auto digest = tables->digest();
    if (!digest) return digest.error();
    ps::installed record;
    record.reason =
        order_.without.empty() ? ps::installed::why::rewound : ps::installed::why::undone;
    record.through = now.through;
    record.without = order_.without;
    record.from_ms = order_.from_ms;
    record.base = made.base;
    record.digest_low = digest->low;
    record.digest_high = digest->high;
    record.rows = digest->rows;
    records_.push_back(std::move(record));
    sum += {digest->low, digest->high};
    made.rows += digest->rows;
    made.shards.push_back(
        {.id = id, .through = now.through, .end = now.end, .left_out = tables->left_out()});
    if (order_.dry_run) return {};
    now.position.stamp_ms = std::max(time_.now_ms(), now.position.stamp_ms);
    return tables->install(now.next, now.position, order_.retrain);
  }

  // ---- into their place ----

  result<void> append(std::uint32_t s) {
    shard_now& now = now_[s];
    now.log.reset();
    auto log = open_log(folder_->shard_log(shard_id{s}), now.flushed, false);
    if (!log) return log.error();
    storage::log_record record;
    record.lsn = now.next;
    record.stamp_ms = now.position.stamp_ms;
    record.schema_version = job_.schema.version;
    record.kind = storage::record_kind::install;
    record.payload = ps::encode_installed(records_[s]);
    std::promise<storage::append_outcome> told;
    (*log)->append(std::span(&record, 1),
                   lsn{now.next.value - 1},
                   [&](const storage::append_outcome& outcome) { told.set_value(outcome); });
    const auto outcome = told.get_future().get();
    if (outcome.state == storage::append_state::committed) return (*log)->close();
    return error{outcome.code, outcome.detail};
  }

  result<void> install() {
    for (std::uint32_t s = 0; s < now_.size(); ++s) {
      if (auto done = append(s); !done) return done;
    }
    const fs::path made = scratch_ / "rows";
    if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, folder_->rows().c_str(), RENAME_EXCHANGE) !=
        0)
      return storage::file_error("exchange", folder_->rows(), errno);
    if (auto synced = storage::sync_folder(folder_->root()); !synced) return synced;
    auto rows = storage::rocks_row_store::open(folder_->rows(), true);
    if (!rows) return rows.error();
    const auto manifest = describe_rows(folder_->job(), job_.schema, **rows, time_.now_ms());
    if (!manifest) return manifest.error();
    return storage::write_manifest(folder_->checkpoint(), *manifest);
  }

  const job& job_;
  const rewind_order& order_;
  const clock& time_;
  std::unique_ptr<storage::job_folder> folder_;
  fs::path scratch_;
  std::vector<shard_now> now_;
  std::vector<ps::installed> records_;  // of each shard
};

}  // namespace

result<rewound> rewind_state(const job& described,
                             const fs::path& state,
                             storage::checkpoint_archive* archive,
                             const rewind_order& order,
                             const clock& time) {
  return rewinding(described, order, time).run(state, archive);
}

}  // namespace headrace::cli
