#include "actors/shard_actor.hpp"

#include "actors/errors.hpp"
#include "actors/shard_background.hpp"
#include "base/log.hpp"
#include "schemas/control.hpp"
#include "schemas/event.hpp"
#include "schemas/follow.hpp"
#include "schemas/refusing.hpp"
#include "schemas/samples.hpp"

#include <caf/exit_reason.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::chrono::milliseconds tick_interval{500};
constexpr std::uint64_t early_ns = 1'000'000;  // that a timer may be before the clock

ps::followers::moment now_of(const headrace::clock& time) {
  return {time.steady_ns(), time.now_ms()};
}

}  // namespace

shard_actor::shard_actor(caf::actor_config& config,
                         open_shard open,
                         std::uint64_t flush_interval_ms,
                         storage::io_pool* pool,
                         std::function<void(const error&)> on_damage)
    : shard_handle::base(config),
      open_(std::move(open)),
      flush_interval_ms_(flush_interval_ms),
      pool_(pool),
      on_damage_(std::move(on_damage)) {}

shard_actor::behavior_type shard_actor::make_behavior() {
  set_exception_handler([](std::exception_ptr& thrown) { return to_caf(from_exception(thrown)); });
  set_exit_handler([this](caf::exit_msg& message) {
    if (shard_ && message.reason != caf::exit_reason::kill) {
      if (auto closed = shard_->close(); !closed) return fail(closed.error());
    }
    quit(std::move(message.reason));
  });
  std::unique_ptr<ps::background> io;
  if (pool_ != nullptr) {
    io = std::make_unique<shard_background>(*pool_, shard_handle(this));
  } else {
    io = std::make_unique<ps::in_place>();
  }
  auto opened = open_(
      [me = shard_handle(this)](lsn at, storage::append_outcome outcome) {
        caf::anon_send(me,
                       settle_atom_v,
                       at.value,
                       std::make_shared<const storage::append_outcome>(std::move(outcome)));
      },
      std::move(io));
  if (opened) {
    shard_ = std::move(*opened);
    if (flush_interval_ms_ > 0) flush_later();
    delayed_send(this, tick_interval, tick_atom_v);
  } else {
    fail(opened.error());
  }
  return {
      [this](serve_atom, const section_job_ptr& job) { serve(*job); },
      [this](settle_atom, std::uint64_t at, const outcome_ptr& outcome) { settle(at, *outcome); },
      [this](done_atom, const done_ptr& what_follows) {
        (*what_follows)();
        check();
      },
      [this](flush_atom) { flush(); },
      [this](visit_atom, const visit_ptr& visit) {
        (*visit)(*shard_);
        check();
      },
      [this](follow_atom) {
        followers_wake_ns_ = ps::followers::never;
        tell_followers();
      },
      [this](tick_atom) {
        shard_->tick();
        check();
        delayed_send(this, tick_interval, tick_atom_v);
      },
  };
}

// The shard's delivery holds a handle of this actor: let go of it, or neither is ever freed.
void shard_actor::on_exit() {
  followers_.reset();
  shard_.reset();
  open_ = nullptr;
  on_damage_ = nullptr;
}

void shard_actor::serve(const section_job& job) {
  using schemas::message_kind;
  switch (job.kind) {
    case message_kind::push:
      shard_->push(job.section, [job](frame ack) { job.answer(std::move(ack)); });
      return check();
    case message_kind::pull:
      shard_->pull(job.section, [job](frame reply) { job.answer(std::move(reply)); });
      return check();
    case message_kind::watermarks:
      if (auto request = schemas::decode_watermark_request(job.section)) {
        job.answer(schemas::encode(shard_->state().watermarks(*request)));
      }
      return;
    case message_kind::digest:
      if (auto request = schemas::decode_digest_request(job.section)) {
        if (request->counts_only) return job.answer(schemas::encode(shard_->state().counts()));
        schemas::digest_reply reply;
        reply.shard = job.shard;
        if (auto digest = shard_->digest()) {
          reply = *digest;
        } else {
          reply.status = digest.error().code;
          reply.detail = digest.error().detail;
        }
        job.answer(schemas::encode(reply));
      }
      return;
    case message_kind::flush:
      shard_->flush_later([job](const result<lsn>& flushed) {
        schemas::flush_reply reply;
        reply.shard = job.shard;
        if (flushed) {
          reply.flushed = *flushed;
        } else {
          reply.status = flushed.error().code;
          reply.detail = flushed.error().detail;
        }
        job.answer(schemas::encode(reply));
      });
      return check();
    case message_kind::forget:
      return forget(job);
    case message_kind::release:
      return release(job);
    case message_kind::events:
      return job.answer(schemas::encode(schemas::refusing(
          {errc::not_found,
           "rows are served here: push events to an address of the job's source"})));
    case message_kind::samples: {
      schemas::samples_reply reply;
      reply.status = errc::not_found;
      reply.detail = "rows are served here: ask for samples at the address of 'headrace ingest'";
      return job.answer(schemas::encode(reply));
    }
    case message_kind::follow:
      return follow(job);
    case message_kind::hello:
    case message_kind::status:
    case message_kind::checkpoint:
      return;  // answered by the server node
  }
}

void shard_actor::forget(const section_job& job) {
  auto request = schemas::decode_forget_request(job.section);
  if (!request) return;
  shard_->forget(
      request->table,
      std::move(request->keys),
      [job](const result<ps::durable_shard::forgotten>& report) {
        schemas::forget_reply reply;
        reply.shard = job.shard;
        if (report) {
          reply.lsn = report->at;
          reply.found = report->found;
        } else {
          reply.status = report.error().code;
          reply.detail = report.error().detail;
        }
        job.answer(schemas::encode(reply));
      },
      request->dry_run);
  check();
}

// A repeated request finds nothing to release: its answer must not come before that of the first,
// so it waits for a flush all the same.
void shard_actor::release(const section_job& job) {
  const auto request = schemas::decode_release_request(job.section);
  if (!request) return;
  schemas::release_reply reply;
  reply.shard = job.shard;
  reply.released = shard_->release(request->source);
  shard_->flush_later([job, reply](const result<lsn>& flushed) mutable {
    if (!flushed) {
      reply.status = flushed.error().code;
      reply.detail = flushed.error().detail;
    }
    job.answer(schemas::encode(reply));
  });
  check();
}

void shard_actor::follow(const section_job& job) {
  const auto asks = schemas::decode_follow_request(job.section);
  if (!asks) {
    return job.answer(
        schemas::encode(schemas::follow_reply{asks.error().code, asks.error().detail, 0, {}}));
  }
  if (!followers_) followers_ = std::make_unique<ps::followers>(*shard_, ps::followers::settings{});
  followers_->take(
      *asks,
      [job](const schemas::follow_reply& reply) { job.answer(schemas::encode(reply)); },
      now_of(shard_->time()));
  check();
}

void shard_actor::tell_followers() {
  if (!followers_) return;
  auto now = now_of(shard_->time());
  now.steady_ns += early_ns;
  followers_->advance(now);
  const std::uint64_t wake_ns = followers_->wake_ns(now);
  if (wake_ns >= followers_wake_ns_) return;
  followers_wake_ns_ = wake_ns;
  const std::uint64_t wait_ns = wake_ns > now.steady_ns ? wake_ns - now.steady_ns : 0;
  delayed_send(this, std::chrono::nanoseconds(wait_ns + early_ns), follow_atom_v);
}

// Tells once when the log starts to refuse pushes, and once when it takes them again.
void shard_actor::note_refusals() {
  if (shard_->refusing() == refusing_) return;
  refusing_ = shard_->refusing();
  const auto id = shard_->state().id().value;
  if (refusing_.empty()) {
    log_info("shard.accepts_again", {{"shard", id}});
  } else {
    log_warn("shard.refuses", {{"shard", id}, {"error", refusing_}});
  }
}

void shard_actor::settle(std::uint64_t at, const storage::append_outcome& outcome) {
  static_cast<void>(shard_->outcome(lsn{at}, outcome));  // unknown: `check` sees it
  check();
}

void shard_actor::check() {
  if (const auto& why = shard_->failure()) return fail(*why);
  note_refusals();
  tell_followers();
}

void shard_actor::flush() {
  shard_->flush_later([this](const result<lsn>& flushed) {
    if (flushed) return;
    log_error("shard.flush",
              {{"shard", shard_->state().id().value}, {"error", describe(flushed.error())}});
    const bool damaged = flushed.error().code != errc::disk_full;
    if (damaged && on_damage_) on_damage_(flushed.error());
  });
  check();
  flush_later();
}

void shard_actor::flush_later() {
  delayed_send(this, std::chrono::milliseconds(flush_interval_ms_), flush_atom_v);
}

void shard_actor::fail(const error& why) {
  log_error("shard.failed", {{"error", describe(why)}});
  quit(to_caf(why));
}

}  // namespace headrace::actors
