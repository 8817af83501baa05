#include "serve/follow_plan.hpp"

#include "base/check.hpp"
#include "schemas/delta.hpp"

#include <algorithm>
#include <utility>

namespace headrace::serve {
namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;

}  // namespace

follow_plan::follow_plan(const settings& how, replica& into)
    : how_(how), into_(into), shards_(into.schema().shards) {
  CHECK(how_.subscriber != 0);
}

std::optional<follow_plan::request> follow_plan::due(std::uint64_t now_ns) {
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    asked& of = shards_[i];
    if (now_ns < of.act_ns) continue;
    if (of.awaiting) {
      of.awaiting = false;
      ++seen_.resumed;
      pause(of, "nobody answers; is the server running there?", 0, now_ns);
      continue;
    }
    const replica::shard_state at = into_.state(shard_id{i});
    request made;
    made.id = of.id = ++last_id_;
    made.asks.shard = shard_id{i};
    made.asks.job_fingerprint = how_.job_fingerprint;
    made.asks.subscriber = how_.subscriber;
    made.asks.session = at.session;
    made.asks.number = at.number;
    made.asks.interval_ms = how_.interval_ms;
    made.asks.wait_ms = how_.wait_ms;
    made.asks.bytes_max = how_.bytes_max;
    of.awaiting = true;
    of.act_ns = now_ns + (how_.wait_ms + how_.patience_ms) * ns_per_ms;
    return made;
  }
  return std::nullopt;
}

std::uint64_t follow_plan::wake_ns() const {
  std::uint64_t next = UINT64_MAX;
  for (const asked& each : shards_) next = std::min(next, each.act_ns);
  return next;
}

void follow_plan::take(shard_id shard,
                       std::uint64_t id,
                       const frame& bytes,
                       std::uint64_t now_ns,
                       std::uint64_t now_ms) {
  if (shard.value >= shards_.size()) return;
  asked& of = shards_[shard.value];
  const bool newest = of.awaiting && id == of.id;
  const auto reply = schemas::decode_follow_reply(bytes);
  if (reply && reply->status == errc::ok) {
    if (newest) of.awaiting = false;
    return take_delta(of, shard, reply->delta, now_ns, now_ms);
  }
  ++seen_.refused;
  if (!newest) return;
  of.awaiting = false;
  if (!reply) return pause(of, "an answer could not be read: " + reply.error().detail, 0, now_ns);
  // What may pass is asked for again soon, everything else when somebody may have seen to it.
  const bool passes = is_transient(reply->status);
  pause(of,
        describe({reply->status, reply->detail}),
        passes ? reply->retry_after_ms : how_.pause_ms_max,
        now_ns);
}

void follow_plan::take_delta(
    asked& of, shard_id shard, const frame& bytes, std::uint64_t now_ns, std::uint64_t now_ms) {
  const auto message = schemas::decode_delta(bytes);
  if (!message || message->shard != shard) {
    ++seen_.refused;
    return pause(of, message ? "a delta of another shard came" : message.error().detail, 0, now_ns);
  }
  const replica::shard_state before = into_.state(shard);
  const auto outcome = into_.apply(*message);
  if (!outcome && outcome.error().code == errc::gap) {
    ++seen_.resumed;
    return pause(of, outcome.error().detail, 0, now_ns);
  }
  if (!outcome) {
    ++seen_.refused;
    return pause(of, describe(outcome.error()), how_.pause_ms_max, now_ns);
  }
  of.heard_ms = now_ms;
  of.pause_ms = 0;
  of.trouble.clear();
  if (!of.awaiting) of.act_ns = now_ns;
  if (*outcome == replica::outcome::old) return;
  if (message->session != before.session) ++seen_.sessions;
  ++seen_.deltas;
  seen_.bytes += bytes.size();
  for (const schemas::delta_block& block : message->blocks)
    seen_.rows += block.keys.size() + block.gone.size();
}

// Where a request is on its way all the same, its answer is waited for.
void follow_plan::pause(asked& of,
                        std::string why,
                        std::uint64_t least_ms,
                        std::uint64_t now_ns) const {
  of.trouble = std::move(why);
  if (of.awaiting) return;
  of.pause_ms =
      std::max(least_ms, std::clamp(of.pause_ms * 2, how_.pause_ms_least, how_.pause_ms_max));
  of.act_ns = now_ns + of.pause_ms * ns_per_ms;
}

follow_plan::figures follow_plan::count() const {
  figures now = seen_;
  now.heard_ms = UINT64_MAX;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const replica::shard_state at = into_.state(shard_id{i});
    now.lag_versions += at.head_version - std::min(at.head_version, at.version);
    now.heard_ms = std::min(now.heard_ms, shards_[i].heard_ms);
    if (now.trouble.empty() && !shards_[i].trouble.empty())
      now.trouble = "shard " + std::to_string(i) + ": " + shards_[i].trouble;
  }
  return now;
}

}  // namespace headrace::serve
