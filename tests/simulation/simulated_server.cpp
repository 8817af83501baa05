#include "tests/simulation/simulated_server.hpp"

#include "base/check.hpp"
#include "tests/simulation/watched_log.hpp"
#include "tests/simulation/wrong_background.hpp"
#include "tests/simulation/wrong_log.hpp"

#include <algorithm>
#include <utility>

namespace headrace::simulation {

using storage::memory_log;

simulated_server::simulated_server(scene& stage, variant kind)
    : stage_(stage), kind_(kind), wrong_rows_(kind, rows_) {
  for (std::uint32_t s = 0; s < stage.p.shards; ++s) {
    shard_slot one(oracle(shard_id{s}, stage.sealed));
    one.disk = std::make_shared<memory_log::contents>();
    for (const std::uint64_t key : stage.sealed.keys()) {
      if (schemas::shard_of(row_key{key}, stage.p.shards).value == s) one.keys.push_back(key);
    }
    shards_.push_back(std::move(one));
  }
  full_from_us_ = stage.chance.between(0, stage.p.faults_us);
  full_to_us_ = full_from_us_ + stage.p.disk_full_us_max;
}

void simulated_server::start() {
  for (std::uint32_t s = 0; s < shards_.size(); ++s) {
    open(s);
    write_back_sometimes(s);
  }
  read_sometimes();
}

// ---- life and death ----

std::unique_ptr<ps::background> simulated_server::make_background(std::uint32_t s) {
  event_background::hooks hooks;
  hooks.crash_point = [this, s] { return crash_point(s); };
  hooks.told = [this, s] { look_after(s); };
  auto right = std::make_unique<event_background>(stage_, std::move(hooks));
  shards_[s].io = right.get();
  if (kind_ != variant::tells_done_before_work && kind_ != variant::finish_does_not_wait)
    return right;
  return std::make_unique<wrong_background>(kind_, stage_, process_, std::move(right));
}

ps::durability_options simulated_server::durability() const {
  ps::durability_options how;
  how.mode = schemas::log_mode::fsync;
  // A truncation that outlives its log would be a mistake of the test.
  how.truncate = stage_.p.truncate && kind_ != variant::finish_does_not_wait;
  how.tail_rows_max = stage_.p.tail_rows_max;
  how.tail_bytes_max = stage_.p.tail_bytes_max;
  how.rows_per_slice = stage_.p.rows_per_slice;
  how.rows_per_batch = stage_.p.rows_per_batch;
  how.rows_per_piece = stage_.p.rows_per_piece;
  return how;
}

shard_under_test::parts simulated_server::parts_of(std::uint32_t s) {
  shard_slot& one = shards_[s];
  auto log = std::make_unique<memory_log>(one.disk);
  log->hold(stage_.p.log_delays);
  one.log = log.get();
  shard_under_test::parts parts;
  parts.id = shard_id{s};
  parts.schema = stage_.schema;
  parts.log = std::make_unique<watched_log>(
      std::move(log),
      watched_log::hooks{
          .append =
              [this, s] {
                if (!stage_.p.log_delays) choose_fate(shards_[s]);
              },
          .truncate = [this, s] { stage_.fail(shards_[s].judge.absorb(*shards_[s].disk)); }});
  if (kind_ >= variant::truncates_past_flushed && kind_ <= variant::loses_the_newest_record)
    parts.log = std::make_unique<wrong_log>(kind_, std::move(parts.log));
  parts.rows = &rows();
  parts.time = &stage_.events;
  parts.io = make_background(s);
  parts.side = &one.side;
  parts.deliver = [this, s](lsn at, storage::append_outcome outcome) {
    settle_later(s, at, std::move(outcome));
  };
  parts.how = durability();
  return parts;
}

void simulated_server::open(std::uint32_t s) {
  shard_slot& one = shards_[s];
  auto opened = shard_under_test::open(kind_, parts_of(s));
  // A disk that could not be read is tried again, as by the supervisor.
  if (!opened && opened.error().code == errc::io_error)
    return reopen(s, stage_.chance.between(1, 10'000));
  if (!opened)
    return stage_.fail("shard " + std::to_string(s) +
                       " does not open: " + describe(opened.error()));
  one.live = std::move(*opened);
  one.judge.reopened();
  stage_.fail(one.judge.absorb(*one.disk));
  stage_.events.note(one.live->state().applied().value);
}

// The actor ends, perhaps with its process: of the appends on their way, the oldest few reach the
// disk. An actor that ends alone waits for the works it gave away.
void simulated_server::drop(shard_slot& one, bool killed) {
  ++one.incarnation;
  one.committing = false;
  one.unanswered = 0;
  one.copying.reset();
  if (!one.live) return;
  stage_.result.fetched += one.live->state().seen().fetched;
  stage_.result.evicted += one.live->state().seen().evicted;
  one.log->crash(stage_.chance.between(0, one.log->held()));
  if (killed) one.io->crash();
  one.live.reset();
  one.log = nullptr;
  one.io = nullptr;
}

void simulated_server::reopen(std::uint32_t s, std::uint64_t after_us) {
  drop(shards_[s], false);
  ++stage_.result.shard_restarts;
  stage_.events.after(after_us, [this, s, mine = shards_[s].incarnation] {
    if (shards_[s].incarnation == mine) open(s);
  });
}

void simulated_server::crash() {
  ++stage_.result.server_crashes;
  *std::exchange(process_, std::make_shared<bool>(true)) = false;
  for (shard_slot& one : shards_) drop(one, true);
  wrong_rows_.crash();
  rows_.crash(stage_.chance);
  const std::uint64_t down_us = stage_.chance.between(1, stage_.p.down_us_max);
  for (std::uint32_t s = 0; s < shards_.size(); ++s) reopen(s, down_us);
}

bool simulated_server::crash_point(std::uint32_t s) {
  if (stage_.strikes(stage_.p.server_crash)) {
    crash();
    return true;
  }
  if (stage_.strikes(stage_.p.shard_crash)) {
    reopen(s, stage_.chance.between(1, 10'000));
    return true;
  }
  return false;
}

// The shard did something: what became of its log and of itself?
void simulated_server::look_after(std::uint32_t s) {
  shard_slot& one = shards_[s];
  stage_.fail(one.judge.absorb(*one.disk));
  note_dropped(one);
  if (one.live->failed()) return reopen(s, stage_.chance.between(1, 10'000));
  const std::uint64_t rows_in_flight =
      in_flight_max * stage_.schema.tables.size() * one.keys.size();
  if (!is_known_wrong(kind_) &&
      one.live->state().tail_rows() >= stage_.p.tail_rows_max + rows_in_flight) {
    stage_.fail("shard " + std::to_string(s) + ": the tail of the log has no bound");
  }
  if (!crash_point(s)) commit_later(s);
}

void simulated_server::note_dropped(shard_slot& one) {
  if (one.disk->first == one.first) return;
  stage_.result.truncated += one.disk->first.value - one.first.value;
  one.first = one.disk->first;
  const auto position = rows_.position(one.judge.shard());
  CHECK(position.ok());
  const lsn keep = one.copying ? one.copying->log_from() : lsn{UINT64_MAX};
  stage_.fail(one.judge.check_dropped(*one.disk, position->flushed, keep));
}

// ---- pushes ----

void simulated_server::push(shard_id id,
                            std::uint32_t source,
                            const frame& section,
                            std::function<void(frame)> reply) {
  shard_slot& one = shards_[id.value];
  if (!one.live || crash_point(id.value)) return;
  ++one.unanswered;
  one.live->push(
      section,
      [this, s = id.value, mine = one.incarnation, source, reply = std::move(reply)](frame ack) {
        CHECK(shards_[s].incarnation == mine);
        --shards_[s].unanswered;
        answer(s, source, ack);
        reply(std::move(ack));
      });
  look_after(id.value);
}

void simulated_server::answer(std::uint32_t s, std::uint32_t source, const frame& reply) {
  shard_slot& one = shards_[s];
  const auto ack = schemas::decode_push_ack(reply);
  CHECK(ack.ok());
  stage_.fail(one.judge.absorb(*one.disk));
  stage_.fail(one.judge.check_ack(*ack, source));
  stage_.fail(one.judge.check_version(ack->version));
  stage_.events.note(ack->watermark.value);
  stage_.events.note(ack->lsn.value ^ static_cast<std::uint64_t>(ack->status) << 48);
}

void simulated_server::watermark(shard_id id,
                                 std::uint32_t source,
                                 const std::function<void(batch_number)>& reply) {
  shard_slot& one = shards_[id.value];
  if (!one.live) return;
  const auto told = one.live->watermarks({id, stage_.sealed.source(source)});
  CHECK(told.status == errc::ok);
  stage_.fail(one.judge.absorb(*one.disk));
  stage_.fail(one.judge.check_watermark(source, told.rows));
  reply(told.rows);
}

// ---- the log ----

bool simulated_server::disk_is_full() const {
  const auto now = stage_.events.now_us();
  return !stage_.healed && now >= full_from_us_ && now < full_to_us_;
}

void simulated_server::choose_fate(shard_slot& one) {
  if (disk_is_full() || stage_.strikes(stage_.p.refuse)) {
    ++stage_.result.refusals;
    one.log->next(memory_log::fate::refuse);
  } else if (stage_.strikes(stage_.p.unknown)) {
    ++stage_.result.unknowns;
    one.log->next(stage_.chance.chance(0.5) ? memory_log::fate::unknown_present
                                            : memory_log::fate::unknown_absent,
                  errc::io_error);
  }
}

void simulated_server::commit_later(std::uint32_t s) {
  shard_slot& one = shards_[s];
  if (one.committing || one.log->held() == 0) return;
  one.committing = true;
  stage_.events.after(stage_.chance.between(1, stage_.p.commit_us_max),
                      [this, s, mine = one.incarnation] {
                        if (shards_[s].incarnation == mine) commit(s);
                      });
}

// One group commit: what waits reaches the disk, or a part of it.
void simulated_server::commit(std::uint32_t s) {
  shard_slot& one = shards_[s];
  one.committing = false;
  for (auto left = stage_.chance.between(1, one.log->held()); left > 0; --left) {
    choose_fate(one);
    one.log->deliver(1);
  }
  if (!crash_point(s)) commit_later(s);
}

void simulated_server::settle_later(std::uint32_t s, lsn at, storage::append_outcome outcome) {
  shard_slot& one = shards_[s];
  const std::uint64_t now = stage_.events.now_us();
  one.settle_us = std::max(one.settle_us, now + stage_.chance.between(0, stage_.p.settle_us_max));
  stage_.events.at(one.settle_us,
                   [this, s, mine = one.incarnation, at, outcome = std::move(outcome)] {
                     if (shards_[s].incarnation == mine) settle(s, at, outcome);
                   });
}

void simulated_server::settle(std::uint32_t s, lsn at, const storage::append_outcome& outcome) {
  if (crash_point(s)) return;
  if (!shards_[s].live->outcome(at, outcome)) return reopen(s, stage_.chance.between(1, 10'000));
  look_after(s);
}

// ---- rows ----

storage::row_store& simulated_server::rows() {
  const bool wrong = kind_ >= variant::write_lands_late && kind_ <= variant::hides_failed_writes;
  return wrong ? static_cast<storage::row_store&>(wrong_rows_) : rows_;
}

void simulated_server::write_back_sometimes(std::uint32_t s) {
  stage_.events.after(stage_.chance.between(1, stage_.p.flush_us_max), [this, s] {
    write_back(s);
    write_back_sometimes(s);
  });
}

void simulated_server::write_back(std::uint32_t s) {
  shard_slot& one = shards_[s];
  if (!one.live || crash_point(s)) return;
  one.live->tick();
  if (stage_.strikes(stage_.p.flush_fault))
    rows_.fail_write_after(stage_.chance.between(0, 2 * one.keys.size()));
  if (stage_.chance.chance(stage_.p.flush_at_once)) {
    written_back(s, one.live->flush());
  } else {
    one.live->flush_later([this, s](const result<lsn>& through) { written_back(s, through); });
  }
  look_after(s);
}

void simulated_server::written_back(std::uint32_t s, const result<lsn>& through) {
  if (through) {
    if (!shards_[s].copying && stage_.chance.chance(stage_.p.checkpoint)) begin_checkpoint(s);
    return;
  }
  ++stage_.result.failed_writes;
  if (stage_.chance.chance(0.5)) return;
  // Killed in the middle of it.
  stage_.events.after(0, [this, s, mine = shards_[s].incarnation] {
    if (shards_[s].incarnation == mine) crash();
  });
}

void simulated_server::begin_checkpoint(std::uint32_t s) {
  shard_slot& one = shards_[s];
  auto taken = checkpoint::take(shard_id{s}, rows());
  if (!taken) return;  // it could not be read
  one.copying = std::move(*taken);
  one.live->keep_log_from(one.copying->log_from());
  stage_.events.after(stage_.chance.between(1, stage_.p.checkpoint_us_max),
                      [this, s, mine = one.incarnation] {
                        if (shards_[s].incarnation == mine) end_checkpoint(s);
                      });
}

void simulated_server::end_checkpoint(std::uint32_t s) {
  shard_slot& one = shards_[s];
  ++stage_.result.checkpoints;
  stage_.fail(one.judge.absorb(*one.disk));
  stage_.fail(one.copying->check(one.judge, stage_.schema, *one.disk));
  one.copying.reset();
  one.live->keep_log_from(lsn{UINT64_MAX});
}

void simulated_server::read_sometimes() {
  stage_.events.after(stage_.chance.between(1, stage_.p.read_us_max), [this] {
    if (stage_.learned) return;
    read(static_cast<std::uint32_t>(stage_.chance.between(0, shards_.size() - 1)));
    read_sometimes();
  });
}

void simulated_server::read(std::uint32_t s) {
  shard_slot& one = shards_[s];
  if (!one.live || one.keys.empty() || crash_point(s)) return;
  if (stage_.strikes(stage_.p.read_fault)) rows_.fail_read();
  const double share = stage_.chance.chance(0.5) ? 0.2 : 1.0;
  auto keys = std::make_shared<std::vector<std::uint64_t>>();
  for (const std::uint64_t key : one.keys) {
    if (stage_.chance.chance(share)) keys->push_back(key);
  }
  schemas::pull_section section;
  section.shard = shard_id{s};
  for (const table_id table : simulated_tables)
    section.blocks.push_back({table, schemas::value_codec::fp32, *keys});
  ++one.unanswered;
  one.live->pull(schemas::encode(section),
                 [this, s, mine = one.incarnation, section, keys](const frame& bytes) {
                   CHECK(shards_[s].incarnation == mine);
                   --shards_[s].unanswered;
                   const auto reply = schemas::decode_pull_reply(bytes);
                   CHECK(reply.ok());
                   stage_.fail(shards_[s].judge.absorb(*shards_[s].disk));
                   stage_.fail(shards_[s].judge.check_pull(section, *reply));
                 });
  look_after(s);
}

// ---- the end ----

std::optional<std::string> simulated_server::busy_with() const {
  const bool resident =
      std::ranges::all_of(stage_.p.memory_rows, [](auto rows) { return rows == 0; });
  for (const shard_slot& one : shards_) {
    const std::string name = "shard " + std::to_string(one.judge.shard().value);
    if (!one.live) return name + " is not open";
    if (one.unanswered > 0) return name + " owes " + std::to_string(one.unanswered) + " answers";
    if (one.log->held() > 0 || one.live->state().applied() != one.log->last().last)
      return name + " has not applied its log";
    if (resident && one.live->state().has_cold_rows()) return name + " has left rows in the store";
  }
  return std::nullopt;
}

void simulated_server::check_tables(std::uint32_t s) {
  shard_slot& one = shards_[s];
  stage_.fail(one.judge.absorb(*one.disk));
  const auto digest = one.live->digest();
  if (!digest) return stage_.fail("no digest: " + describe(digest.error()));
  stage_.fail(one.judge.check_replay(
      *digest, one.live->state().version(), one.judge.read(), stage_.schema));
}

void simulated_server::check_end() {
  for (std::uint32_t s = 0; s < shards_.size(); ++s) {
    shard_slot& one = shards_[s];
    check_tables(s);
    if (stage_.chance.chance(0.5)) {
      if (const auto flushed = one.live->flush(); !flushed)
        return stage_.fail("rows cannot be written: " + describe(flushed.error()));
      check_tables(s);
    }
    drop(one, false);
    const auto whole = restore(shard_id{s}, stage_.schema, rows(), *one.disk);
    if (!whole) return stage_.fail("no tables: " + describe(whole.error()));
    stage_.fail(one.judge.check_finished(**whole, stage_.schema));
    open(s);
    if (one.live) check_tables(s);
  }
}

std::uint64_t simulated_server::voids() const {
  std::uint64_t sum = 0;
  for (const shard_slot& one : shards_) sum += one.judge.voids();
  return sum;
}

}  // namespace headrace::simulation
