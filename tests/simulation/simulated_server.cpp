#include "tests/simulation/simulated_server.hpp"

#include "base/check.hpp"

#include <utility>

namespace headrace::simulation {

using storage::memory_log;

simulated_server::simulated_server(scene& stage, variant kind) : stage_(stage), kind_(kind) {
  for (std::uint32_t s = 0; s < stage.p.shards; ++s) {
    shard_slot one(oracle(shard_id{s}, stage.sealed));
    one.disk = std::make_shared<memory_log::contents>();
    shards_.push_back(std::move(one));
  }
  full_from_us_ = stage.chance.between(0, stage.p.faults_us);
  full_to_us_ = full_from_us_ + stage.p.disk_full_us_max;
}

void simulated_server::start() {
  for (std::uint32_t s = 0; s < shards_.size(); ++s) {
    open(s);
    flush_sometimes(s);
  }
  read_sometimes();
}

// ---- life and death ----

void simulated_server::open(std::uint32_t s) {
  shard_slot& one = shards_[s];
  auto log = std::make_unique<memory_log>(one.disk);
  log->hold(stage_.p.log_delays);
  one.log = log.get();
  shard_under_test::parts parts;
  parts.id = shard_id{s};
  parts.schema = stage_.schema;
  parts.log = std::move(log);
  parts.rows = &rows_;
  parts.time = &stage_.events;
  parts.side = &one.side;
  parts.deliver = [this, s](lsn at, storage::append_outcome outcome) {
    settle_later(s, at, std::move(outcome));
  };
  auto opened = shard_under_test::open(kind_, std::move(parts));
  if (!opened)
    return stage_.fail("shard " + std::to_string(s) +
                       " does not open: " + describe(opened.error()));
  one.live = std::move(*opened);
  one.judge.reopened();
  stage_.fail(one.judge.absorb(*one.disk));
  stage_.events.note(one.live->state().applied().value);
}

// The process or the actor ends: of the appends on their way, the oldest few reach the disk.
void simulated_server::drop(shard_slot& one) {
  ++one.incarnation;
  one.committing = false;
  if (!one.live) return;
  one.log->crash(stage_.chance.between(0, one.log->held()));
  one.live.reset();
  one.log = nullptr;
}

void simulated_server::reopen(std::uint32_t s, std::uint64_t after_us) {
  drop(shards_[s]);
  ++stage_.result.shard_restarts;
  stage_.events.after(after_us, [this, s, mine = shards_[s].incarnation] {
    if (shards_[s].incarnation == mine) open(s);
  });
}

void simulated_server::crash() {
  ++stage_.result.server_crashes;
  for (shard_slot& one : shards_) drop(one);
  rows_.crash(stage_.chance.chance(0.5));
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

// ---- pushes ----

void simulated_server::push(shard_id id,
                            std::uint32_t source,
                            const frame& section,
                            std::function<void(frame)> reply) {
  shard_slot& one = shards_[id.value];
  if (!one.live || crash_point(id.value)) return;
  if (!stage_.p.log_delays) choose_fate(one);
  one.live->push(
      section,
      [this, s = id.value, mine = one.incarnation, source, reply = std::move(reply)](frame ack) {
        CHECK(shards_[s].incarnation == mine);
        answer(s, source, ack);
        reply(std::move(ack));
      });
  after_push(id.value);
}

void simulated_server::after_push(std::uint32_t s) {
  if (shards_[s].live->failed()) return reopen(s, stage_.chance.between(1, 10'000));
  if (!crash_point(s)) commit_later(s);
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
  crash_point(s);
}

// ---- rows ----

void simulated_server::flush_sometimes(std::uint32_t s) {
  stage_.events.after(stage_.chance.between(1, stage_.p.flush_us_max), [this, s] {
    flush(s);
    flush_sometimes(s);
  });
}

void simulated_server::flush(std::uint32_t s) {
  shard_slot& one = shards_[s];
  if (!one.live || crash_point(s)) return;
  if (stage_.strikes(stage_.p.flush_fault))
    rows_.fail_after(stage_.chance.between(0, stage_.p.keys));
  const auto flushed = one.live->flush();
  rows_.heal();
  if (!flushed && stage_.chance.chance(0.5)) return crash();  // killed in the middle of it
  crash_point(s);
}

void simulated_server::read_sometimes() {
  stage_.events.after(stage_.chance.between(1, stage_.p.read_us_max), [this] {
    read();
    read_sometimes();
  });
}

void simulated_server::read() {
  const auto s = static_cast<std::uint32_t>(stage_.chance.between(0, shards_.size() - 1));
  shard_slot& one = shards_[s];
  if (!one.live) return;
  std::vector<std::uint64_t> keys;
  for (const std::uint64_t key : stage_.sealed.keys()) {
    if (schemas::shard_of(row_key{key}, stage_.p.shards).value == s) keys.push_back(key);
  }
  if (keys.empty()) return;
  schemas::pull_section section;
  section.shard = shard_id{s};
  section.blocks.push_back({sums, schemas::value_codec::fp32, keys});
  one.live->pull(schemas::encode(section),
                 [this, s, section, keys = std::move(keys)](const frame& bytes) mutable {
                   section.blocks[0].keys = keys;
                   const auto reply = schemas::decode_pull_reply(bytes);
                   CHECK(reply.ok());
                   stage_.fail(shards_[s].judge.absorb(*shards_[s].disk));
                   stage_.fail(shards_[s].judge.check_pull(section, *reply));
                 });
}

// ---- the end ----

bool simulated_server::quiet() const {
  for (const shard_slot& one : shards_) {
    if (!one.live || one.log->held() > 0 || one.live->state().applied() != one.log->last().last)
      return false;
  }
  return true;
}

void simulated_server::check_end() {
  for (std::uint32_t s = 0; s < shards_.size(); ++s) {
    shard_slot& one = shards_[s];
    stage_.fail(one.judge.absorb(*one.disk));
    stage_.fail(one.judge.check_finished(one.live->state(), stage_.schema));
    stage_.fail(one.judge.check_replay(one.live->state(), stage_.schema, *one.disk));
    drop(one);
    open(s);
    if (one.live) stage_.fail(one.judge.check_replay(one.live->state(), stage_.schema, *one.disk));
  }
}

std::uint64_t simulated_server::voids() const {
  std::uint64_t sum = 0;
  for (const shard_slot& one : shards_) sum += one.judge.voids();
  return sum;
}

}  // namespace headrace::simulation
