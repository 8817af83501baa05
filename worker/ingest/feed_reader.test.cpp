#include "worker/ingest/feed_reader.hpp"

#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

namespace headrace::worker {
namespace {

using namespace std::chrono_literals;

/// What a broker keeps: messages by partition, with gaps between their offsets.
using kept_messages = std::map<std::string, std::map<std::uint64_t, std::string>>;
/// What the log holds: values by partition in their order, and where each goes on.
struct memory_log {
  feed_positions next;
  std::map<std::string, std::vector<std::string>> values;
};

/// A broker in memory. Gives random runs of messages of random partitions.
class memory_feed final : public broker_feed {
 public:
  memory_feed(const kept_messages& kept, feed_positions next, std::mt19937_64& random)
      : kept_(kept), next_(std::move(next)), random_(random) {}

  result<void> poll(std::chrono::milliseconds,
                    std::size_t messages_max,
                    std::vector<broker_message>& into) override {
    ++polls;
    if (paused || kept_.empty()) return {};
    for (std::size_t left = random_() % (messages_max + 1); left > 0; --left) {
      const auto at = std::next(kept_.begin(), static_cast<long>(random_() % kept_.size()));
      const auto message = at->second.lower_bound(next_[at->first]);
      if (message == at->second.end()) continue;
      next_[at->first] = message->first + 1;
      broker_message one;
      one.partition = at->first;
      one.offset = message->first;
      one.value = message->second;
      one.tombstone = message->second.empty();
      into.push_back(one);
    }
    return {};
  }
  result<void> commit(const std::string& partition, std::uint64_t next) override {
    EXPECT_GT(next, committed[partition]);
    committed[partition] = next;
    return {};
  }
  void pause() override { paused = true; }
  void resume() override { paused = false; }
  result<void> dead_letter(const broker_message& message, std::string_view reason) override {
    letters.emplace_back(std::string(message.value), std::string(reason));
    return {};
  }
  state look() const override { return {}; }

  std::map<std::string, std::uint64_t> committed;
  std::vector<std::pair<std::string, std::string>> letters;
  bool paused = false;
  std::size_t polls = 0;

 private:
  const kept_messages& kept_;
  feed_positions next_;
  std::mt19937_64& random_;
};

/// An intake that answers late, in its own order, and has no room now and then. "bad…" is refused.
class memory_intake {
 public:
  memory_intake(memory_log& log, std::mt19937_64& random) : log_(log), random_(random) {}
  void offer(event_intake::request one) { waiting_.push_back(std::move(one)); }

  /// Answers some of what waits.
  void answer(std::size_t refuse_of_ten) {
    for (std::size_t left = random_() % (waiting_.size() + 1); left > 0; --left) {
      const auto at = waiting_.begin() + static_cast<long>(random_() % waiting_.size());
      auto one = std::move(*at);
      waiting_.erase(at);
      schemas::event_ack ack;
      if (random_() % 10 < refuse_of_ten) {
        ack.status = errc::overloaded;
        ack.retry_after_ms = static_cast<std::uint32_t>(random_() % 50);
      } else {
        take(one, ack);
      }
      if (random_() % 8 != 0) {
        one.done(std::move(ack));
      } else {
        late_.push_back([done = std::move(one.done), ack] { done(ack); });
      }
    }
    if (random_() % 4 == 0) say_late();
  }
  void say_late() {
    for (const auto& one : std::exchange(late_, {})) one();
  }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t batches = 0;
  std::size_t events_most = 0;

 private:
  void take(const event_intake::request& one, schemas::event_ack& ack) {
    ++batches;
    const auto batch = schemas::decode_event_batch(one.batch);
    ASSERT_TRUE(batch) << describe(batch.error());
    events_most = std::max(events_most, batch->events.size());
    const std::string partition(batch->partition);
    EXPECT_GT(batch->offset_end, log_.next[partition]);
    log_.next[partition] = batch->offset_end;
    for (std::uint32_t i = 0; i < batch->events.size(); ++i) {
      const std::string id(batch->events[i].id);
      if (!id.starts_with("bad")) {
        ++ack.accepted;
        log_.values[partition].push_back(id);
        continue;
      }
      ++ack.refused;
      if (ack.refusals.size() < schemas::refusals_max) {
        ack.refusals.push_back({i, schemas::event_fault::missing_field, "user"});
      }
    }
  }

  memory_log& log_;
  std::mt19937_64& random_;
  std::vector<event_intake::request> waiting_;
  std::vector<std::function<void()>> late_;
};

/// "a,b": two events with these ids; "?": none at all; "version …": of schema version 2.
message_decoder simple_decoder() {
  return [builder = std::make_shared<schemas::event_batch_builder>()](
             const broker_message& message,
             std::vector<schemas::event_refusal>& refused) -> result<const schemas::event_batch*> {
    if (message.value == "?") return error{errc::malformed, "no event"};
    builder->begin("", message.value.starts_with("v") ? 2 : 1);
    for (std::string_view rest = message.value; !rest.empty();) {
      const auto end = std::min(rest.find(','), rest.size());
      builder->event(rest.substr(0, end), message.key, 1);
      builder->text(builder->name("of"), rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (message.value.ends_with("!")) refused.push_back({7, schemas::event_fault::wrong_type, "x"});
    return &builder->batch();
  };
}

feed_reader::settings small_batches() {
  feed_reader::settings how;
  how.patience = 0ms;
  how.messages_at_once = 7;
  how.batches.batch_events_max = 5;
  how.batches.producer = "test";
  return how;
}

/// Messages with 0 … 4 events each; what must be in the log in the end goes to `wanted`.
kept_messages draw_messages(std::mt19937_64& random, memory_log& wanted) {
  kept_messages kept;
  for (std::size_t p = 0; p < 1 + random() % 4; ++p) {
    const auto partition = "clicks/" + std::to_string(p);
    std::uint64_t offset = random() % 3;
    for (std::size_t i = random() % 200; i > 0; --i, offset += 1 + random() % 3) {
      std::string value;
      for (std::size_t k = random() % 5; k > 0; --k) {
        const bool bad = random() % 20 == 0;
        const std::string id = std::string(bad                 ? "bad"
                                           : random() % 9 == 0 ? "v"
                                                               : "e") +
                               std::to_string(offset) + "." + std::to_string(k);
        value += (value.empty() ? "" : ",") + id;
        if (!bad) wanted.values[partition].push_back(id);
      }
      if (value.empty() && random() % 2 == 0) value = "?";
      kept[partition][offset] = value;
      wanted.next[partition] = offset + 1;
    }
  }
  return kept;
}

struct whole {
  whole(const kept_messages& kept,
        memory_log& log,
        std::mt19937_64& random,
        const manual_clock& time,
        const feed_reader::settings& how = small_batches())
      : intake(log, random) {
    auto made = std::make_unique<memory_feed>(kept, log.next, random);
    feed = made.get();
    reader = std::make_unique<feed_reader>(
        std::move(made),
        simple_decoder(),
        [this](event_intake::request one) { intake.offer(std::move(one)); },
        how,
        time);
  }
  memory_intake intake;
  memory_feed* feed = nullptr;
  std::unique_ptr<feed_reader> reader;
};

bool is_done(const memory_log& log, const memory_log& wanted) {
  return std::all_of(wanted.next.begin(), wanted.next.end(), [&](const auto& entry) {
    const auto found = log.next.find(entry.first);
    return found != log.next.end() && found->second == entry.second;
  });
}

TEST(FeedReader, TakesEveryEventOnceInOrderThroughRefusalsAndCrashes) {
  const auto first = tests::test_seed();
  for (std::uint64_t seed = first; seed < first + 100; ++seed) {
    SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    memory_log wanted;
    const auto kept = draw_messages(random, wanted);
    memory_log log;
    manual_clock time;
    auto now = std::make_unique<whole>(kept, log, random, time);
    std::size_t crashes = random() % 6;
    for (int round = 0; !is_done(log, wanted); ++round) {
      ASSERT_LT(round, 20'000);
      ASSERT_TRUE(now->reader->step());
      now->intake.answer(3);
      time.advance_ms(random() % 20);
      if (crashes > 0 && random() % 30 == 0) {  // what was offered and not taken is gone
        --crashes;
        now = std::make_unique<whole>(kept, log, random, time);
      }
    }
    for (const auto& [partition, values] : wanted.values) EXPECT_EQ(log.values[partition], values);
    // The last acks: then the broker knows all of it.
    for (int round = 0; round < 5; ++round) {
      now->intake.say_late();
      ASSERT_TRUE(now->reader->step());
    }
    EXPECT_EQ(now->reader->count().in_flight, 0U);
    if (::testing::Test::HasFailure()) return;
  }
}

/// One partition with these messages, read to the end.
struct read_out {
  explicit read_out(const std::vector<std::string>& messages,
                    const feed_reader::settings& how = small_batches()) {
    for (const auto& value : messages) kept["p"].emplace(kept["p"].size(), value);
    parts = std::make_unique<whole>(kept, log, random, time, how);
    for (int round = 0; round < 1'000 && log.next["p"] < messages.size(); ++round) step();
    for (int round = 0; round < 10; ++round) step();
  }
  void step() {
    EXPECT_TRUE(parts->reader->step());
    parts->intake.answer(0);
    parts->intake.say_late();
  }
  std::mt19937_64 random{7};
  kept_messages kept;
  memory_log log;
  manual_clock time;
  std::unique_ptr<whole> parts;
};

using letters = std::vector<std::pair<std::string, std::string>>;

TEST(FeedReader, AMessageThatIsNoEventIsADeadLetterAndCountsAsRead) {
  const read_out made({"?"});
  EXPECT_EQ(made.log.next.at("p"), 1U);
  EXPECT_EQ(made.parts->feed->letters, (letters{{"?", "malformed: no event"}}));
  EXPECT_EQ(made.parts->feed->committed["p"], 1U);
}

TEST(FeedReader, AMessageWithARefusedEventIsADeadLetterOnce) {
  const read_out made({"e1", "bad1,e2,bad2", "e3"});
  EXPECT_EQ(made.log.values.at("p"), (std::vector<std::string>{"e1", "e2", "e3"}));
  EXPECT_EQ(made.parts->feed->letters, (letters{{"bad1,e2,bad2", "missing_field: user"}}));
  EXPECT_EQ(made.parts->reader->count().refused, 2U);
  EXPECT_EQ(made.parts->reader->count().accepted, 3U);
}

TEST(FeedReader, WhatTheDecoderRefusesIsADeadLetterAndTheRestIsTaken) {
  const read_out made({"e1,e2!"});
  EXPECT_EQ(made.log.values.at("p"), (std::vector<std::string>{"e1", "e2!"}));
  EXPECT_EQ(made.parts->feed->letters, (letters{{"e1,e2!", "wrong_type: x"}}));
}

TEST(FeedReader, ATombstoneIsReadAndNoDeadLetter) {
  const read_out made({"", "e1", ""});
  EXPECT_EQ(made.log.next.at("p"), 3U);
  EXPECT_TRUE(made.parts->feed->letters.empty());
}

TEST(FeedReader, OneMessageStaysInOneBatchHoweverManyEventsItHas) {
  const read_out made({"a,b,c,d,e,f,g,h", "i"});
  EXPECT_EQ(made.parts->intake.events_most, 8U);
}

TEST(FeedReader, PausesTheFeedUntilThereIsRoom) {
  std::mt19937_64 random(3);
  kept_messages kept;
  for (std::uint64_t i = 0; i < 1'000; ++i) kept["p"][i] = "e" + std::to_string(i);
  memory_log log;
  manual_clock time;
  whole parts(kept, log, random, time);
  for (int round = 0; round < 200; ++round) ASSERT_TRUE(parts.reader->step());
  EXPECT_TRUE(parts.feed->paused);
  EXPECT_EQ(parts.intake.waiting(), 1U);  // one under way, whatever waits behind it
  EXPECT_LT(parts.reader->count().messages, 60U);
  const auto polls = parts.feed->polls;
  ASSERT_TRUE(parts.reader->step());
  EXPECT_EQ(parts.feed->polls, polls + 1);  // the broker still hears from us
  for (int round = 0; round < 20'000 && log.values["p"].size() < 1'000; ++round) {
    parts.intake.answer(0);
    parts.intake.say_late();
    ASSERT_TRUE(parts.reader->step());
  }
  EXPECT_EQ(log.values["p"].size(), 1'000U);
}

TEST(FeedReader, ABatchThatFoundNoRoomIsTheSameAgain) {
  kept_messages kept{{"p", {{0, "e0"}}}};
  std::vector<event_intake::request> offered;
  std::mt19937_64 random(1);
  manual_clock time;
  bool paused = false;
  auto feed = std::make_unique<memory_feed>(kept, feed_positions{}, random);
  const auto* seen = feed.get();
  feed_reader reader(
      std::move(feed),
      simple_decoder(),
      [&](event_intake::request one) { offered.push_back(std::move(one)); },
      small_batches(),
      time);
  while (offered.empty()) ASSERT_TRUE(reader.step());
  schemas::event_ack full;
  full.status = errc::overloaded;
  full.retry_after_ms = 100;
  offered[0].done(full);
  for (int round = 0; round < 5; ++round) ASSERT_TRUE(reader.step());
  paused = seen->paused;
  EXPECT_TRUE(paused);
  EXPECT_EQ(offered.size(), 1U);  // not before its time
  time.advance_ms(100);
  ASSERT_TRUE(reader.step());
  ASSERT_EQ(offered.size(), 2U);
  EXPECT_EQ(offered[1].batch.bytes().data(), offered[0].batch.bytes().data());
  EXPECT_EQ(reader.count().overloaded, 1U);
}

TEST(FeedReader, ALogThatFailsEndsIt) {
  kept_messages kept{{"p", {{0, "e0"}}}};
  std::mt19937_64 random(1);
  manual_clock time;
  feed_reader reader(
      std::make_unique<memory_feed>(kept, feed_positions{}, random),
      simple_decoder(),
      [](const event_intake::request& one) {
        schemas::event_ack ack;
        ack.status = errc::io_error;
        ack.detail = "no space";
        one.done(ack);
      },
      small_batches(),
      time);
  for (int round = 0; round < 100; ++round) {
    if (const auto done = reader.step(); !done) {
      EXPECT_EQ(done.error().code, errc::io_error);
      EXPECT_NE(done.error().detail.find("no space"), std::string::npos);
      return;
    }
  }
  FAIL() << "it went on";
}

TEST(FeedReader, WhatIsThrownUnderItIsItsFailure) {
  const kept_messages kept{{"clicks/0", {{0, "e0"}}}};
  std::mt19937_64 random(1);
  manual_clock time;
  feed_reader reader(
      std::make_unique<memory_feed>(kept, feed_positions{}, random),
      [](const auto&, auto&) -> result<const schemas::event_batch*> { throw std::bad_alloc(); },
      [](const auto&) {},
      small_batches(),
      time);
  result<void> done;
  for (int i = 0; i < 100 && done; ++i) done = reader.step();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, errc::io_error);
  EXPECT_NE(done.error().detail.find("bad_alloc"), std::string::npos) << done.error().detail;
}

TEST(FeedReader, AnAckMayComeAfterItIsGone) {
  kept_messages kept{{"p", {{0, "e0"}}}};
  std::mt19937_64 random(1);
  manual_clock time;
  std::optional<event_intake::request> offered;
  {
    feed_reader reader(
        std::make_unique<memory_feed>(kept, feed_positions{}, random),
        simple_decoder(),
        [&](event_intake::request one) { offered = std::move(one); },
        small_batches(),
        time);
    while (!offered) ASSERT_TRUE(reader.step());
  }
  offered->done({});
}

/// More names than a batch may have, from many messages.
TEST(FeedReader, NamesOfManyMessagesGoIntoSeveralBatches) {
  kept_messages kept;
  for (std::uint64_t i = 0; i < 40; ++i) kept["p"][i] = std::to_string(i);
  memory_log log;
  std::mt19937_64 random(5);
  manual_clock time;
  memory_intake intake(log, random);
  schemas::event_batch_builder builder;
  auto how = small_batches();
  how.batches.batch_events_max = 1'000;
  how.messages_at_once = 100;
  feed_reader reader(
      std::make_unique<memory_feed>(kept, feed_positions{}, random),
      [&](const broker_message& message, auto&) -> result<const schemas::event_batch*> {
        builder.begin("");
        builder.event(message.value, "", 1);
        for (int i = 0; i < 100; ++i) {
          builder.integer(builder.name(std::string(message.value) + "." + std::to_string(i)), i);
        }
        return &builder.batch();
      },
      [&](event_intake::request one) { intake.offer(std::move(one)); },
      how,
      time);
  for (int round = 0; round < 1'000 && log.values["p"].size() < 40; ++round) {
    ASSERT_TRUE(reader.step());
    intake.answer(0);
    intake.say_late();
  }
  ASSERT_EQ(log.values["p"].size(), 40U);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(log.values["p"][i], std::to_string(i));
}

}  // namespace
}  // namespace headrace::worker
