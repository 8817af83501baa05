#include "worker/events/event_gate.hpp"

#include "base/random.hpp"
#include "tests/support/made_batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <numeric>
#include <set>

namespace headrace::worker {
namespace {

using schemas::event_fault;
using testing::HasSubstr;
using tests::made_batch;

constexpr std::uint64_t now = 1'000'000'000;

event_schema schema(std::vector<std::string> actions = {}) {
  source_spec source;
  source.label = {"click", label_spec::comparison::greater, 0.5};
  source.features.resize(2);
  source.features[0].name = "user";
  source.features[1].name = "price";
  source.features[1].kind = feature_kind::float_value;
  auto made = event_schema::bind(source, actions);
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

event_gate gate(event_gate::settings how = {}, std::vector<std::string> actions = {}) {
  return event_gate(std::move(how), schema(std::move(actions)));
}

void add_good(made_batch& to, const std::string& id, std::uint64_t time_ms = now) {
  to.event(id, "k" + id, time_ms).text("user", "u1").number("price", 2.5).integer("click", 1);
}

std::vector<std::size_t> left_out(const gate_verdict& verdict, std::size_t events) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < events; ++i)
    if (is_left_out(verdict.left_out, i)) out.push_back(i);
  return out;
}

// Why the only event of a batch was refused.
schemas::event_refusal refusal(event_gate& by, const made_batch& of) {
  const auto verdict = by.judge(of.batch, now);
  EXPECT_EQ(verdict.ack.refused, 1U);
  if (verdict.ack.refusals.size() != 1) return {};
  return verdict.ack.refusals[0];
}

TEST(EventGate, TakesAllOfAGoodBatchAndLeavesNothingOut) {
  made_batch batch;
  add_good(batch, "a");
  add_good(batch, "b");
  event_gate by = gate();
  const auto verdict = by.judge(batch.batch, now);
  EXPECT_EQ(verdict.ack.status, errc::ok);
  EXPECT_EQ(verdict.ack.accepted, 2U);
  EXPECT_TRUE(verdict.left_out.empty());
  EXPECT_TRUE(verdict.ack.refusals.empty());
}

TEST(EventGate, DropsAnIdItHasSeen) {
  made_batch batch;
  for (const char* id : {"a", "b", "a"}) add_good(batch, id);
  event_gate by = gate();
  const auto verdict = by.judge(batch.batch, now);
  EXPECT_EQ(verdict.ack.accepted, 2U);
  EXPECT_EQ(verdict.ack.duplicates, 1U);
  EXPECT_EQ(left_out(verdict, 3), (std::vector<std::size_t>{2}));
  EXPECT_EQ(by.judge(batch.batch, now).ack.duplicates, 3U) << "not committed, but on its way";
}

TEST(EventGate, AnEventWithoutAnIdIsNeverADuplicate) {
  made_batch batch;
  add_good(batch, "");
  add_good(batch, "");
  event_gate by = gate();
  EXPECT_EQ(by.judge(batch.batch, now).ack.accepted, 2U);
}

TEST(EventGate, RemembersNoIdWhereItIsToldTo) {
  made_batch batch;
  add_good(batch, "a");
  add_good(batch, "a");
  event_gate by = gate({.duplicate_ids = 0});
  EXPECT_EQ(by.judge(batch.batch, now).ack.accepted, 2U);
  by.commit();
  by.roll_back();
}

TEST(EventGate, RefusesAnEventWithoutAnIdWhereTheJobNeedsOne) {
  made_batch batch;
  add_good(batch, "");
  event_gate by = gate({.needs_id = true});
  EXPECT_EQ(refusal(by, batch).fault, event_fault::no_id);
}

TEST(EventGate, RefusesWhatHasNoKeyWhereTheJobJoins) {
  event_gate by = gate({}, {"click"});
  made_batch impression, action;
  impression.event("a", "", now).text("user", "u");
  action.event("b", "", now).action("click");
  EXPECT_EQ(refusal(by, impression).fault, event_fault::no_key);
  EXPECT_EQ(refusal(by, action).fault, event_fault::no_key);
  EXPECT_THAT(refusal(by, action).detail, HasSubstr("key: "));
}

TEST(EventGate, RefusesAnActionThatIsNoneOfTheJobs) {
  made_batch batch;
  batch.event("a", "k", now).action("share");
  event_gate joins = gate({}, {"click", "buy"});
  EXPECT_EQ(refusal(joins, batch).fault, event_fault::unknown_action);
  EXPECT_EQ(refusal(joins, batch).detail, "action: this is 'share'; accepted is click | buy");
  event_gate plain = gate();
  EXPECT_EQ(refusal(plain, batch).fault, event_fault::unknown_action);
}

TEST(EventGate, TimesAtItsBoundsAreTakenAndOneMillisecondBeyondIsNot) {
  for (const auto& [time_ms, fault] : {std::pair{now + 500, event_fault::none},
                                       {now + 501, event_fault::bad_time},
                                       {UINT64_MAX, event_fault::bad_time},
                                       {now - 2'000, event_fault::none},
                                       {now - 2'001, event_fault::bad_time},
                                       {std::uint64_t{0}, event_fault::bad_time}}) {
    made_batch batch;
    add_good(batch, "a", time_ms);
    event_gate by = gate({.future_ms_max = 500, .past_ms_max = 2'000});
    const auto verdict = by.judge(batch.batch, now);
    EXPECT_EQ(verdict.ack.refused, fault == event_fault::none ? 0U : 1U) << time_ms;
    if (fault != event_fault::none) {
      EXPECT_EQ(verdict.ack.refusals.at(0).fault, fault) << time_ms;
    }
  }
  made_batch old;
  add_good(old, "a", 1);
  event_gate any = gate();
  EXPECT_EQ(any.judge(old.batch, now).ack.accepted, 1U) << "without a bound any past is taken";
}

TEST(EventGate, RefusesASchemaVersionTheJobDoesNotTake) {
  made_batch batch;
  add_good(batch, "a");
  batch.batch.schema_version = 3;
  event_gate by = gate({.schema_versions = {1, 2}});
  EXPECT_EQ(refusal(by, batch).fault, event_fault::wrong_schema);
  EXPECT_EQ(refusal(by, batch).detail, "schema_version: this is 3, accepted is 1, 2");
  batch.batch.schema_version = 2;
  EXPECT_EQ(by.judge(batch.batch, now).ack.accepted, 1U);
}

TEST(EventGate, TheFirstFaultInItsOrderIsTold) {
  made_batch batch;
  batch.event("", "", now + 100'000).action("share");
  batch.event("", "", now + 100'000).texts("user", {"u"});
  batch.event("a", "k", now + 100'000).texts("user", {"u"});
  batch.event("b", "k", now).texts("user", {"u"});
  batch.batch.schema_version = 9;
  event_gate by = gate({.needs_id = true, .schema_versions = {1}}, {"click"});
  const auto verdict = by.judge(batch.batch, now);
  ASSERT_EQ(verdict.ack.refusals.size(), 4U);
  EXPECT_EQ(verdict.ack.refusals[0].fault, event_fault::unknown_action);
  EXPECT_EQ(verdict.ack.refusals[1].fault, event_fault::no_id);
  EXPECT_EQ(verdict.ack.refusals[2].fault, event_fault::bad_time);
  EXPECT_EQ(verdict.ack.refusals[3].fault, event_fault::wrong_schema);
  batch.batch.schema_version = 1;
  EXPECT_EQ(by.judge(batch.batch, now).ack.refusals.at(3).fault, event_fault::wrong_type);
}

TEST(EventGate, AnIdOfARefusedEventIsNotKnown) {
  event_gate by = gate();
  made_batch bad, good;
  bad.event("a", "", now).text("user", "u");  // without a label
  EXPECT_EQ(refusal(by, bad).fault, event_fault::missing_field);
  add_good(good, "a");
  EXPECT_EQ(by.judge(good.batch, now).ack.accepted, 1U);
}

TEST(EventGate, TellsTheFirstRefusalsAndCountsAll) {
  made_batch batch;
  for (int i = 0; i < 40; ++i) {
    add_good(batch, std::to_string(i));
    batch.event("bad", "", now);
  }
  event_gate by = gate();
  const auto verdict = by.judge(batch.batch, now);
  EXPECT_EQ(verdict.ack.refused, 40U);
  ASSERT_EQ(verdict.ack.refusals.size(), schemas::refusals_max);
  EXPECT_EQ(verdict.ack.refusals[15].event, 31U);
  EXPECT_EQ(verdict.left_out.size(), 10U);
  by.commit();
  EXPECT_EQ(by.count().refused[static_cast<std::size_t>(event_fault::missing_field)], 40U);
}

TEST(EventGate, WhatIsRolledBackIsTakenAgainAndCountsOnce) {
  made_batch first, second;
  add_good(first, "a");
  add_good(second, "b");
  event_gate by = gate();
  by.judge(first.batch, now);
  by.judge(second.batch, now);
  by.commit();
  by.roll_back();
  EXPECT_EQ(by.count().accepted, 1U);
  EXPECT_EQ(by.judge(first.batch, now).ack.duplicates, 1U);
  EXPECT_EQ(by.judge(second.batch, now).ack.accepted, 1U);
  by.commit();
  by.commit();
  EXPECT_EQ(by.count().accepted, 2U);
  EXPECT_EQ(by.count().duplicates, 1U);
}

// A batch of good events, duplicates, some without ids, and bad ones.
std::unique_ptr<made_batch> random_batch(random_stream& random, std::uint64_t ids) {
  auto made = std::make_unique<made_batch>();
  const std::uint64_t events = random.next_below(20);
  for (std::uint64_t i = 0; i < events; ++i) {
    const bool nameless = random.next_below(8) == 0;
    const std::string id = nameless ? "" : std::to_string(random.next_below(ids));
    const std::uint64_t kind = random.next_below(10);
    if (kind == 0) made->event(id, "", now + 70'000);
    if (kind == 1) made->event(id, "", now).texts("user", {"a"}).integer("click", 0);
    if (kind > 1) add_good(*made, id);
  }
  return made;
}

// The ids that are known, oldest first, and how a batch's events are to be judged by them.
struct plain_gate {
  std::size_t max;
  std::deque<std::string> ids;

  std::vector<std::size_t> judge(const schemas::event_batch& batch) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < batch.events.size(); ++i) {
      const auto& event = batch.events[i];
      const bool good = event.fields_count == 3;
      const std::string id(event.id);
      const bool known = !id.empty() && std::count(ids.begin(), ids.end(), id) > 0;
      if (!good || known) out.push_back(i);
      if (!good || known || id.empty()) continue;
      ids.push_back(id);
      if (ids.size() > max) ids.pop_front();
    }
    return out;
  }
};

// Batches in flight, some of which the log refuses; and at every step a gate that read the log.
void run_pipelined(std::uint64_t seed) {
  random_stream random(seed);
  const std::uint64_t max = 1 + random.next_below(60);
  event_gate by = gate({.duplicate_ids = max, .secret = random.next()});
  plain_gate newest{max, {}}, committed{max, {}};
  struct logged {
    std::unique_ptr<made_batch> batch;
    frame left_out;
  };
  std::deque<logged> in_flight, log;
  std::uint64_t events = 0;
  for (int step = 0; step < 200; ++step) {
    const std::uint64_t what = random.next_below(10);
    if (what == 0) {
      by.roll_back();
      in_flight.clear();
      newest = committed;
    } else if (what < 5 && !in_flight.empty()) {
      by.commit();
      events += in_flight.front().batch->batch.events.size();
      committed.judge(in_flight.front().batch->batch);
      log.push_back(std::move(in_flight.front()));
      in_flight.pop_front();
    } else {
      auto batch = random_batch(random, 2 * max);
      auto verdict = by.judge(batch->batch, now);
      ASSERT_EQ(left_out(verdict, batch->batch.events.size()), newest.judge(batch->batch))
          << "seed " << seed << " step " << step;
      in_flight.push_back({std::move(batch), verdict.left_out});
    }
  }
  by.roll_back();
  const auto& count = by.count();
  EXPECT_EQ(count.accepted + count.duplicates +
                std::accumulate(count.refused.begin(), count.refused.end(), std::uint64_t{0}),
            events)
      << "seed " << seed;
  event_gate restarted = gate({.duplicate_ids = max});
  for (const logged& each : log) restarted.remember(each.batch->batch, each.left_out);
  restarted.end_piece();
  for (int i = 0; i < 20; ++i) {
    const auto batch = random_batch(random, 2 * max);
    const std::size_t size = batch->batch.events.size();
    ASSERT_EQ(left_out(restarted.judge(batch->batch, now), size),
              left_out(by.judge(batch->batch, now), size))
        << "seed " << seed;
  }
}

TEST(EventGate, PipelinedBatchesAreJudgedAsAListOfIdsWouldAndARestartKnowsTheSame) {
  for (std::uint64_t seed = 1; seed <= 60 && !testing::Test::HasFailure(); ++seed)
    run_pipelined(seed);
}

}  // namespace
}  // namespace headrace::worker
