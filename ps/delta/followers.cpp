#include "ps/delta/followers.hpp"

#include "base/check.hpp"
#include "ps/delta/delta_builder.hpp"
#include "schemas/delta.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t retry_full_ms = 1'000;

}  // namespace

followers::followers(durable_shard& of, const settings& how)
    : of_(of),
      how_(how),
      codecs_(schemas::delta_codecs(of.state().schema())),
      changes_(delta_row_bytes(of.state().schema(), codecs_)) {
  for (const std::size_t bytes : delta_row_bytes(of.state().schema(), codecs_))
    row_bytes_max_ = std::max(row_bytes_max_, bytes);
}

followers::~followers() { of_.report_changes(nullptr); }

// ---- who follows ----

followers::subscriber* followers::find(std::uint64_t id) {
  const auto at = std::ranges::find_if(all_, [&](const auto& each) { return each.id == id; });
  return at == all_.end() ? nullptr : &*at;
}

followers::subscriber* followers::find(std::uint64_t id, std::uint64_t session) {
  subscriber* const who = find(id);
  return who != nullptr && who->feed->session() == session ? who : nullptr;
}

// The subscriber, made where it is new and there is room.
followers::subscriber* followers::enter(std::uint64_t id, const moment& now) {
  if (subscriber* const known = find(id)) return known;
  if (all_.size() >= how_.subscribers_max) {
    const auto oldest = std::ranges::min_element(all_, {}, &subscriber::heard_ns);
    if (oldest->asks || now.steady_ns - oldest->heard_ns < how_.yield_ms * ns_per_ms)
      return nullptr;
    forget(oldest);
  }
  if (all_.empty()) of_.report_changes(&changes_);
  subscriber& made = all_.emplace_back();
  made.id = id;
  return &made;
}

void followers::forget(std::list<subscriber>::iterator who) {
  changes_.close(*who->feed);
  all_.erase(who);
  if (all_.empty()) of_.report_changes(nullptr);
}

void followers::begin(subscriber& who, std::uint64_t above, const moment& now) {
  const std::uint64_t before = who.feed != nullptr ? who.feed->session() : 0;
  if (who.feed != nullptr) changes_.close(*who.feed);
  const std::uint64_t session = std::max({before + 1, above + 1, now.wall_ms * 1'000});
  const feed_limits limits{.delta_bytes_max = who.bytes_max, .pending_max = how_.pending_max};
  who.feed = &begin_feed(changes_, of_.state(), session, limits);
  who.begun_from = above;
  who.first = true;
  who.building = false;
  ++seen_.sessions;
  if (!who.feed->is_waiting()) return;
  of_.scan_stored_keys(
      [this, id = who.id, session](table_id table, std::span<const std::uint64_t> keys) {
        subscriber* const still = find(id, session);
        if (still != nullptr) still->feed->add_first(table, keys);
        return still != nullptr;
      },
      [this, id = who.id, session] {
        if (subscriber* const still = find(id, session)) still->feed->all_known();
      });
}

// Where it is, as it says: acknowledges, or goes back to what got lost, or begins anew.
void followers::place(subscriber& who, const schemas::follow_request& asks, const moment& now) {
  const std::size_t least = std::max(how_.bytes_least, 2 * row_bytes_max_);
  const std::size_t most = of_.state().has_budget() ? how_.cold_bytes_max : how_.bytes_most;
  who.bytes_max = std::max(least, std::min<std::size_t>(asks.bytes_max, most));
  if (who.feed == nullptr || who.feed->has_lapsed()) return begin(who, asks.session, now);
  const bool same = asks.session == who.feed->session();
  if (same && asks.number == who.feed->newest()) return who.feed->acknowledge(asks.number);
  // One that names the session before has nothing of this one.
  if (!same && asks.session != who.begun_from) return begin(who, asks.session, now);
  if (!who.feed->resume(same ? asks.number : 0)) return begin(who, asks.session, now);
  who.backlog = true;
  ++seen_.resumed;
}

void followers::take(const schemas::follow_request& asks, answer reply, const moment& now) {
  subscriber* const who = enter(asks.subscriber, now);
  if (who == nullptr) {
    ++seen_.refused;
    return reply({errc::overloaded,
                  std::to_string(all_.size()) + " replicas follow shard " +
                      std::to_string(of_.state().id().value) + "; stop one that is not needed",
                  retry_full_ms,
                  {}});
  }
  who->heard_ns = now.steady_ns;
  place(*who, asks, now);
  const std::uint64_t wait_ms = std::min<std::uint64_t>(asks.wait_ms, how_.wait_ms_max);
  who->asks = {std::move(reply), asks.interval_ms * ns_per_ms, now.steady_ns + wait_ms * ns_per_ms};
  advance(now);
}

// ---- when and what ----

bool followers::has_news(const subscriber& who) const {
  return who.told_version != of_.state().version() ||
         who.told_accepted_ms != of_.state().accepted_ms() || changes_.unsorted_rows() > 0 ||
         who.feed->pending_rows_at_most() > 0 || who.told_waiting != who.feed->is_waiting();
}

std::uint64_t followers::due_ns(const subscriber& who, const moment& now) const {
  if (!who.asks || who.building) return never;
  // While a session begins, nothing is to be gathered.
  const bool begins = who.told_waiting && who.feed->pending_rows_at_most() > 0;
  if (who.first || who.backlog || begins || who.feed->has_lapsed()) return now.steady_ns;
  if (!has_news(who)) return who.asks->until_ns;
  return std::min(who.asks->until_ns, who.told_ns + who.asks->interval_ns);
}

void followers::tell(subscriber& who, const moment& now) {
  auto plan = changes_.plan(*who.feed, of_.state().accepted_ms(), true);
  if (!plan && who.feed->has_lapsed()) {
    begin(who, who.feed->session(), now);
    plan = changes_.plan(*who.feed, of_.state().accepted_ms(), true);
  }
  if (!plan) return;
  who.told_ns = now.steady_ns;
  who.told_version = of_.state().version();
  who.told_accepted_ms = of_.state().accepted_ms();
  who.told_waiting = who.feed->is_waiting();
  who.first = false;
  who.backlog = who.feed->pending_rows_at_most() > 0;
  who.building = true;
  const auto made = std::make_shared<const delta_plan>(std::move(*plan));
  of_.with_rows(rows_needed(*made),
                [this, made, id = who.id, reply = std::exchange(who.asks, {})->reply] {
                  if (subscriber* const still = find(id, made->session)) still->building = false;
                  ++seen_.deltas;
                  seen_.rows += made->rows();
                  reply({errc::ok, "", 0, build_delta(of_.state(), *made, codecs_)});
                });
}

void followers::advance(const moment& now) {
  for (auto each = all_.begin(); each != all_.end();) {
    const auto who = each++;
    if (due_ns(*who, now) <= now.steady_ns) tell(*who, now);
    if (!who->asks && now.steady_ns - who->heard_ns >= how_.silent_ms * ns_per_ms) forget(who);
  }
}

std::uint64_t followers::wake_ns(const moment& now) const {
  std::uint64_t next = never;
  for (const subscriber& each : all_) next = std::min(next, due_ns(each, now));
  return next;
}

followers::figures followers::count() const {
  figures now = seen_;
  now.subscribers = all_.size();
  now.unsorted_rows = changes_.unsorted_rows();
  for (const subscriber& each : all_) now.bytes += each.feed->bytes();
  return now;
}

}  // namespace headrace::ps
