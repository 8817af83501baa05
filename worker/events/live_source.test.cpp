#include "worker/events/live_source.hpp"

#include "base/random.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_spill_store.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/events/test_streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <thread>

namespace headrace::worker {
namespace {

class LiveSource : public testing::Test {
 protected:
  std::unique_ptr<storage::ordered_log> open_log() const {
    storage::segment_log::options how;
    how.folder = folder_.path() / "events";
    how.mode = schemas::log_mode::os;
    how.segment_bytes = 16'384;
    how.continue_after = cut_.through;
    auto log = storage::segment_log::open(how);
    EXPECT_TRUE(log) << describe(log.error());
    return std::move(*log);
  }
  std::shared_ptr<event_intake> open_intake(event_intake::settings how = {},
                                            const std::vector<std::string>& actions = {}) {
    cut_ = *live_source::load_cut(folder_.path() / "cut");
    auto made = event_intake::open(
        open_log(), schema(actions), how, {cut_.through, cut_.partitions, cut_.stamp_ms}, time_);
    EXPECT_TRUE(made) << describe(made.error());
    return std::move(*made);
  }
  std::unique_ptr<live_source> open_source(const std::shared_ptr<event_intake>& intake,
                                           live_source::settings how = {},
                                           const std::vector<std::string>& actions = {}) {
    how.cut_file = folder_.path() / "cut";
    auto made = live_source::open(intake, schema(actions), std::move(how), cut_);
    EXPECT_TRUE(made) << describe(made.error());
    return std::move(*made);
  }

  storage::temporary_folder folder_;
  manual_clock time_;
  stream_cut cut_;
};

TEST_F(LiveSource, GivesAcceptedEventsInOrderWithTheirArrival) {
  const auto intake = open_intake();
  const auto source = open_source(intake);
  event found;
  EXPECT_FALSE(*source->next(found));
  const auto ack =
      push(*intake, batch_of().impression("1", time_.now_ms()).impression("2", time_.now_ms(), 3));
  EXPECT_EQ(ack.status, errc::ok) << ack.detail;
  EXPECT_EQ(ack.accepted, 2U);
  ASSERT_TRUE(*source->next(found));
  EXPECT_EQ(found.label, 1.0F);
  EXPECT_EQ(found.keys.size(), 2U);
  EXPECT_EQ(found.arrived_ms, time_.now_ms());
  EXPECT_EQ(found.row_number, 0U);
  ASSERT_TRUE(*source->next(found));
  EXPECT_EQ(found.label, 0.0F);
  EXPECT_EQ(found.row_number, 1U);
  EXPECT_FALSE(*source->next(found));
  EXPECT_EQ(source->position(), 2U);
}

TEST_F(LiveSource, LeavesOutWhatTheGateRefused) {
  const auto intake = open_intake();
  const auto source = open_source(intake);
  schemas::event_batch_builder wrong;
  wrong.begin("test");
  wrong.event("1", "", time_.now_ms());
  wrong.text(wrong.name("price"), "cheap");
  wrong.integer(wrong.name("rating"), 5);
  wrong.event("2", "", time_.now_ms());
  wrong.integer(wrong.name("rating"), 5);
  const auto ack = push(*intake, wrong.finish());
  EXPECT_EQ(ack.accepted, 1U);
  ASSERT_EQ(ack.refusals.size(), 1U);
  EXPECT_EQ(ack.refusals[0].event, 0U);
  EXPECT_EQ(ack.refusals[0].fault, schemas::event_fault::wrong_type);
  EXPECT_NE(ack.refusals[0].detail.find("price"), std::string::npos) << ack.refusals[0].detail;
  event found;
  EXPECT_TRUE(*source->next(found));
  EXPECT_FALSE(*source->next(found));
}

TEST_F(LiveSource, TellsAnUnreadableBatch) {
  const auto intake = open_intake();
  const std::string text = "no batch at all.";
  const auto ack = push(*intake, frame::copy_of(std::as_bytes(std::span(text))));
  EXPECT_EQ(ack.status, errc::malformed);
  EXPECT_FALSE(ack.detail.empty());
  EXPECT_EQ(intake->log().last().last, lsn{0});
}

TEST_F(LiveSource, KnowsIdsAndPartitionsAgainAfterARestart) {
  {
    const auto intake = open_intake();
    EXPECT_TRUE(intake->partitions().empty());
    EXPECT_EQ(push(*intake, batch_of().impression("1", 1).from("clicks/0", 8), true).accepted, 1U);
    EXPECT_EQ(push(*intake, batch_of().impression("2", 2).from("clicks/1", 3), true).accepted, 1U);
    EXPECT_EQ(push(*intake, batch_of().impression("1", 1).from("clicks/0", 9), true).duplicates,
              1U);
  }
  const auto intake = open_intake();
  EXPECT_THAT(intake->partitions(),
              testing::ElementsAre(testing::Pair("clicks/0", 9), testing::Pair("clicks/1", 3)))
      << "a batch of duplicates moves its partition on";
  EXPECT_EQ(push(*intake, batch_of().impression("2", 2)).duplicates, 1U);
  EXPECT_EQ(push(*intake, batch_of().impression("3", 3)).accepted, 1U);
}

TEST_F(LiveSource, TellsWhatItsJoinCounted) {
  const std::vector<std::string> actions{"click"};
  auto intake = open_intake({}, actions);
  live_source::settings how;
  how.join.emplace();
  how.join->window_ms = 1'000;
  how.board = std::make_shared<join_board>();
  auto source = open_source(intake, how, actions);
  EXPECT_EQ(push(*intake, batch_of().impression("1", 5'000).action("1", 5'100, "click")).accepted,
            2U);
  EXPECT_EQ(push(*intake, batch_of().impression("2", 5'000)).accepted, 1U);
  event into;
  while (*source->next(into)) {
  }
  const auto told = how.board->read();
  EXPECT_EQ(told.count, source->join()->count());
  EXPECT_EQ(told.count.impressions, 2U);
  EXPECT_EQ(told.count.matched, 1U);
  EXPECT_EQ(told.pending, source->join()->pending());
}

TEST_F(LiveSource, AsksProducersToWaitWhileTrainingIsTooFarBehind) {
  event_intake::settings how;
  how.bytes_unread_max = 1'000;
  const auto intake = open_intake(how);
  const auto source = open_source(intake);
  std::uint64_t accepted = 0;
  schemas::event_ack ack;
  do {
    ack = push(*intake, batch_of().impression(std::to_string(accepted), 1));
    accepted += ack.accepted;
  } while (ack.status == errc::ok);
  EXPECT_EQ(ack.status, errc::overloaded);
  EXPECT_GT(ack.retry_after_ms, 0U);
  EXPECT_LT(accepted, 10U);
  event found;
  for (std::uint64_t i = 0; i < accepted; ++i) ASSERT_TRUE(*source->next(found));
  EXPECT_EQ(push(*intake, batch_of().impression("again", 1)).accepted, 1U);
  EXPECT_EQ(intake->count().overloaded, 1U);
}

TEST_F(LiveSource, TakesEverythingWhereNobodyReadsAndNothingIsBounded) {
  event_intake::settings how;
  how.bytes_unread_max = UINT64_MAX;
  const auto intake = open_intake(how);
  EXPECT_EQ(push(*intake, batch_of().impression("1", 1)).accepted, 1U);
  EXPECT_EQ(push(*intake, batch_of().impression("2", 1)).accepted, 1U);
}

TEST_F(LiveSource, ForgetsWhatTheLogRefusedAndAcceptsItLater) {
  auto log = std::make_unique<storage::memory_log>();
  auto* disk = log.get();
  auto intake = std::move(*event_intake::open(std::move(log), schema(), {}, {}, time_));
  disk->next(storage::memory_log::fate::refuse, errc::disk_full);
  const auto refused = push(*intake, batch_of().impression("1", 1));
  EXPECT_EQ(refused.status, errc::disk_full);
  EXPECT_EQ(refused.accepted, 0U);
  ASSERT_TRUE(intake->refused());
  EXPECT_EQ(intake->refused()->why.code, errc::disk_full);
  EXPECT_EQ(intake->refused()->at_ns, time_.steady_ns());
  const auto ack = push(*intake, batch_of().impression("1", 1));
  EXPECT_EQ(ack.status, errc::ok) << ack.detail;
  EXPECT_EQ(ack.accepted, 1U) << "its id was not remembered";
  EXPECT_FALSE(intake->refused());
  EXPECT_EQ(intake->count().failed, 1U);
}

TEST_F(LiveSource, TakesNoPartitionFromWhoeverPushes) {
  {
    const auto intake = open_intake();
    const auto ack = push(*intake, batch_of().impression("1", 1).from("clicks/0", 1'000'000));
    EXPECT_EQ(ack.status, errc::malformed);
    EXPECT_NE(ack.detail.find("partition"), std::string::npos) << ack.detail;
  }
  EXPECT_TRUE(open_intake()->partitions().empty());
}

TEST_F(LiveSource, GoesOnBehindTheCutOfALogThatLostItsEnd) {
  live_source::settings how;
  how.cut_bytes = 1;
  {
    const auto intake = open_intake();
    const auto source = open_source(intake, how);
    event found;
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(push(*intake, batch_of().impression(std::to_string(i), 1)).accepted, 1U);
      ASSERT_TRUE(*source->next(found));
    }
    ASSERT_FALSE(*source->next(found));
    ASSERT_TRUE(source->sealed(3));
  }
  std::filesystem::remove_all(folder_.path() / "events");
  const auto intake = open_intake();
  ASSERT_GT(cut_.through.value, 0U);
  const auto source = open_source(intake, how);
  ASSERT_TRUE(source->skip(3));
  ASSERT_EQ(push(*intake, batch_of().impression("new", 1)).accepted, 1U);
  event found;
  ASSERT_TRUE(*source->next(found)) << "an acknowledged event is not read";
  EXPECT_EQ(found.row_number, 3U);
}

// A pipe in the place of the cut's new file: it can't be opened before somebody reads, nor synced.
TEST_F(LiveSource, SealingDoesNotWaitForTheDiskThatKeepsTheCut) {
  const std::string pipe = (folder_.path() / "cut.new").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  live_source::settings how;
  how.cut_bytes = 1;
  const auto intake = open_intake();
  const auto source = open_source(intake, how);
  event found;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(push(*intake, batch_of().impression(std::to_string(i), 1)).accepted, 1U);
    ASSERT_TRUE(*source->next(found));
  }
  ASSERT_FALSE(*source->next(found));
  ASSERT_TRUE(source->sealed(3)) << "it begins";
  ASSERT_TRUE(source->sealed(3)) << "it goes on";
  std::ifstream reader(pipe);
  std::stringstream read;
  read << reader.rdbuf();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  result<void> told;
  while (told.ok() && std::chrono::steady_clock::now() < deadline) {
    told = source->sealed(3);
    std::this_thread::yield();
  }
  EXPECT_FALSE(told.ok()) << "what became of it is never told";
}

TEST_F(LiveSource, CountsOnWhereMoreWasSealedThanTheLogStillGives) {
  for (const std::uint64_t sealed : {5, 6}) {
    const auto intake = open_intake();
    const auto source = open_source(intake);
    const auto skipped = source->skip(sealed);
    ASSERT_TRUE(skipped) << describe(skipped.error());
    EXPECT_EQ(source->position(), sealed);
    ASSERT_EQ(push(*intake, batch_of().impression(std::to_string(sealed), 1)).accepted, 1U);
    event found;
    ASSERT_TRUE(*source->next(found));
    EXPECT_EQ(found.row_number, sealed);
    EXPECT_FALSE(*source->next(found));
  }
}

TEST_F(LiveSource, AWindowDoesNotEndByATimeWhenNobodyRan) {
  const std::vector<std::string> actions{"click"};
  live_source::settings how;
  how.join = join_spec{};
  how.join->window_ms = 10'000;
  event_intake::settings ticking;
  ticking.idle_ms = 20'000;
  ticking.tick_ms = 1;
  const std::uint64_t shown = time_.now_ms();
  {
    const auto intake = open_intake(ticking, actions);
    ASSERT_EQ(push(*intake, batch_of().impression("1", shown)).accepted, 1U);
  }
  time_.advance_ms(3'600'000);
  const auto intake = open_intake(ticking, actions);
  const auto source = open_source(intake, how, actions);
  event found;
  const lsn before = intake->log().last().last;
  while (intake->log().last().last.value < before.value + 3) std::this_thread::yield();
  ASSERT_FALSE(*source->next(found)) << "the hour in which nobody ran ended its window";
  ASSERT_EQ(push(*intake, batch_of().action("1", shown + 5'000, "click")).accepted, 1U);
  ASSERT_TRUE(*source->next(found));
  EXPECT_EQ(found.label, 1.0F);
  EXPECT_EQ(found.arrived_ms, time_.now_ms());
}

// A job whose label is another column than before.
event_schema schema_of_stars() {
  source_spec source = two_ids_and_a_price();
  source.label.column = "stars";
  return *event_schema::bind(source);
}

TEST_F(LiveSource, AnEventThatNoLongerFitsIsABadRowAndNoneBehindItIsSkipped) {
  {
    const auto intake = open_intake();
    const auto source = open_source(intake);
    schemas::event_batch_builder events;
    events.begin("test");
    for (const int i : {0, 1, 2, 3}) {
      events.event(std::to_string(i), "", 1'000 + static_cast<std::uint64_t>(i));
      events.integer(events.name("rating"), 5);
      if (i != 1) events.integer(events.name("stars"), 5);
    }
    ASSERT_EQ(push(*intake, events.finish()).accepted, 4U);
    ASSERT_TRUE(source->skip(0));
  }
  for (const std::uint64_t sealed : {1, 2}) {
    const auto intake = open_intake();
    auto opened = live_source::open(intake, schema_of_stars(), {}, cut_);
    ASSERT_TRUE(opened) << describe(opened.error());
    ASSERT_TRUE((*opened)->skip(sealed));
    EXPECT_EQ((*opened)->position(), sealed);
    event found;
    ASSERT_TRUE(*(*opened)->next(found));
    EXPECT_EQ(found.event_time_ms, 1'002U) << "an acknowledged event is skipped";
    EXPECT_EQ(found.row_number, 2U);
    ASSERT_TRUE(*(*opened)->next(found));
    EXPECT_EQ(found.event_time_ms, 1'003U);
    EXPECT_FALSE(*(*opened)->next(found));
    EXPECT_EQ((*opened)->bad().total(), 1U);
  }
}

TEST_F(LiveSource, RefusesACutInWhichImpressionsOfAnotherJoinWait) {
  const std::vector<std::string> actions{"click", "buy"};
  live_source::settings how;
  how.cut_bytes = 1;
  how.join = join_spec{};
  how.join->window_ms = 10'000;
  how.join->actions = 2;
  {
    const auto intake = open_intake({}, actions);
    const auto source = open_source(intake, how, actions);
    ASSERT_TRUE(source->skip(0));
    ASSERT_EQ(push(*intake, batch_of().impression("1", time_.now_ms())).accepted, 1U);
    event found;
    ASSERT_FALSE(*source->next(found));
    ASSERT_TRUE(source->sealed(0));
  }
  how.cut_file = folder_.path() / "cut";
  {
    const auto intake = open_intake({}, actions);
    ASSERT_FALSE(cut_.joiner.empty());
    EXPECT_TRUE(live_source::open(intake, schema(actions), how, cut_));
    auto other = two_ids_and_a_price();
    other.label = {};
    other.features[0].column = "customer";
    const auto refused = live_source::open(intake, *event_schema::bind(other, actions), how, cut_);
    ASSERT_FALSE(refused) << "what waits has the values of other columns";
    EXPECT_EQ(refused.error().code, errc::wrong_job);
    EXPECT_NE(refused.error().detail.find("state folder"), std::string::npos);
    EXPECT_FALSE(live_source::open(intake, schema(), {}, cut_));
  }
  const std::vector<std::string> turned{"buy", "click"};
  const auto intake = open_intake({}, turned);
  EXPECT_FALSE(live_source::open(intake, schema(turned), how, cut_));
}

TEST_F(LiveSource, AnotherJoinBeginsOnlyWhereNothingIsSealedBehindTheCut) {
  const std::vector<std::string> actions{"click"};
  live_source::settings how;
  how.join = join_spec{};
  how.join->window_ms = 10'000;
  live_source::settings longer = how;
  longer.join->window_ms = 20'000;
  {
    const auto intake = open_intake({}, actions);
    const auto source = open_source(intake, how, actions);
    ASSERT_TRUE(source->skip(0));
    const std::uint64_t now = time_.now_ms();
    ASSERT_EQ(push(*intake, batch_of().impression("1", now).action("1", now, "click")).accepted,
              2U);
  }
  const auto intake = open_intake({}, actions);
  {
    const auto refused = open_source(intake, longer, actions)->skip(1);
    ASSERT_FALSE(refused) << "another window makes other samples";
    EXPECT_EQ(refused.error().code, errc::wrong_job);
  }
  EXPECT_TRUE(open_source(intake, how, actions)->skip(1));
  EXPECT_TRUE(open_source(intake, longer, actions)->skip(0));
  cut_ = *live_source::load_cut(folder_.path() / "cut");
  EXPECT_FALSE(open_source(intake, how, actions)->skip(1)) << "the longer one has begun";
}

TEST_F(LiveSource, AcceptsNothingAfterAnUnknownOutcome) {
  auto log = std::make_unique<storage::memory_log>();
  log->next(storage::memory_log::fate::unknown_present, errc::io_error);
  auto intake = std::move(*event_intake::open(std::move(log), schema(), {}, {}, time_));
  EXPECT_EQ(push(*intake, batch_of().impression("1", 1)).status, errc::io_error);
  const auto after = push(*intake, batch_of().impression("2", 1));
  EXPECT_EQ(after.status, errc::io_error);
  EXPECT_NE(after.detail.find("restart"), std::string::npos);
  EXPECT_TRUE(intake->broken());
}

TEST_F(LiveSource, AnswersBatchesOfManyThreadsOnceEach) {
  const auto intake = open_intake();
  const auto source = open_source(intake);
  constexpr int threads = 4;
  constexpr int batches = 200;
  std::atomic<std::uint64_t> accepted = 0;
  std::vector<std::thread> pushing;
  for (int t = 0; t < threads; ++t) {
    pushing.emplace_back([&, t] {
      for (int i = 0; i < batches; ++i)
        accepted +=
            push(*intake, batch_of().impression(std::to_string(t) + "-" + std::to_string(i), 1))
                .accepted;
    });
  }
  for (auto& one : pushing) one.join();
  EXPECT_EQ(accepted, std::uint64_t{threads} * batches);
  event found;
  std::uint64_t read = 0;
  while (*source->next(found)) ++read;
  EXPECT_EQ(read, accepted);
}

struct restarts {
  bool joins = false;
  std::uint64_t window_ms = 50;
  std::uint64_t memory_bytes_max = 0;  // with a store to spill to
  std::shared_ptr<join_board> board = {};
};

// A stream that is pushed, read, sealed, cut off at any moment and opened again gives every sample
// once, the same as in one piece: into `seen`, by position.
void restart_at_random(std::uint64_t seed, const restarts& stream, std::vector<event>& seen) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  const std::vector<std::string> actions =
      stream.joins ? std::vector<std::string>{"click", "buy"} : std::vector<std::string>{};
  random_stream random(seed);
  storage::temporary_folder folder;
  manual_clock time;
  live_source::settings how;
  how.cut_file = folder.path() / "cut";
  how.cut_bytes = 2'000;
  how.keep_bytes = random.next_below(2) == 0 ? 0 : 20'000;
  if (stream.joins) {
    join_spec join;
    join.window_ms = stream.window_ms;
    join.memory_bytes_max = stream.memory_bytes_max;
    join.out_of_order_ms = 20;
    join.actions = 2;
    how.join = join;
  }
  how.board = stream.board;
  event_intake::settings intake_how;
  intake_how.idle_ms = 0;
  std::uint64_t sealed = 0;
  std::uint64_t pushed = 0;
  for (int run = 0; run < 12; ++run) {
    storage::segment_log::options log_how;
    log_how.folder = folder.path() / "events";
    log_how.mode = schemas::log_mode::os;
    log_how.segment_bytes = 4'096;
    auto cut = live_source::load_cut(how.cut_file);
    ASSERT_TRUE(cut) << describe(cut.error());
    auto opened = event_intake::open(std::move(*storage::segment_log::open(log_how)),
                                     schema(actions),
                                     intake_how,
                                     {cut->through, cut->partitions, cut->stamp_ms},
                                     time);
    ASSERT_TRUE(opened) << describe(opened.error());
    const std::shared_ptr<event_intake> intake = std::move(*opened);
    if (stream.memory_bytes_max > 0) how.spill = std::make_shared<storage::memory_spill_store>();
    auto source = live_source::open(intake, schema(actions), how, *cut);
    ASSERT_TRUE(source) << describe(source.error());
    const auto skipped = (*source)->skip(sealed);
    ASSERT_TRUE(skipped) << describe(skipped.error());
    for (auto steps = random.next_below(120); steps > 0; --steps) {
      const auto what = random.next_below(10);
      if (what < 4) {
        time.advance_ms(1 + random.next_below(5));
        batch_of batch;
        for (auto events = 1 + random.next_below(5); events > 0; --events) {
          const std::string id = std::to_string(pushed++);
          const std::uint64_t happened = time.now_ms() - random.next_below(15);
          batch.impression(id, happened, static_cast<int>(random.next_below(6)));
          if (stream.joins && random.next_below(3) == 0)
            batch.action(
                id, happened + random.next_below(10), random.next_below(2) == 0 ? "click" : "buy");
        }
        ASSERT_EQ(push(*intake, batch).status, errc::ok);
      } else if (what < 9) {
        event found;
        auto more = (*source)->next(found);
        ASSERT_TRUE(more) << describe(more.error());
        if (!*more) continue;
        const std::uint64_t position = (*source)->position();
        ASSERT_EQ(found.row_number, position - 1);
        if (position > seen.size()) {
          ASSERT_EQ(position, seen.size() + 1);
          seen.push_back(found);
        }
        const event& first = seen[position - 1];
        ASSERT_EQ(found.keys, first.keys) << "sample " << position;
        ASSERT_EQ(found.label, first.label);
        ASSERT_EQ(found.more_labels, first.more_labels);
        ASSERT_EQ(found.arrived_ms, first.arrived_ms);
      } else {
        sealed = (*source)->position();
        const auto told = (*source)->sealed(sealed);
        ASSERT_TRUE(told) << describe(told.error());
      }
    }
  }
  EXPECT_LE(seen.size(), pushed);
  EXPECT_GT(seen.size(), 20U);
}

// A seed here is as much work as fifty worlds of the simulation, which HEADRACE_SEEDS counts.
std::uint64_t seeds() {
  const char* worlds = std::getenv("HEADRACE_SEEDS");
  return worlds == nullptr ? 6 : std::max(1ULL, std::strtoull(worlds, nullptr, 10) / 50);
}

TEST(LiveSourceRestarts, GiveEverySampleOnce) {
  for (std::uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    std::vector<event> seen;
    restart_at_random(seed, {}, seen);
  }
}

TEST(LiveSourceRestarts, GiveEveryJoinedSampleOnce) {
  for (std::uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    std::vector<event> seen;
    restart_at_random(seed, {.joins = true}, seen);
  }
}

// Memory for a few dozen impressions of a hundred or more.
TEST(LiveSourceRestarts, GiveTheSameSamplesWhateverTheJoinsMemory) {
  constexpr std::uint64_t memory = 4'096;
  constexpr std::uint64_t block = 4'096;  // the smallest
  const auto board = std::make_shared<join_board>();
  for (std::uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    std::vector<event> unbounded;
    std::vector<event> bounded;
    restart_at_random(seed, {.joins = true, .window_ms = 150}, unbounded);
    restart_at_random(seed,
                      {.joins = true, .window_ms = 150, .memory_bytes_max = memory, .board = board},
                      bounded);
    ASSERT_EQ(bounded.size(), unbounded.size()) << "seed " << seed;
    for (std::size_t i = 0; i < bounded.size(); ++i) {
      ASSERT_EQ(bounded[i].keys, unbounded[i].keys) << "seed " << seed << ", sample " << i;
      ASSERT_EQ(bounded[i].values, unbounded[i].values);
      ASSERT_EQ(bounded[i].label, unbounded[i].label);
      ASSERT_EQ(bounded[i].more_labels, unbounded[i].more_labels);
      ASSERT_EQ(bounded[i].arrived_ms, unbounded[i].arrived_ms);
    }
  }
  const join_figures most = board->read();
  EXPECT_GT(most.spilled_most, 0U);
  EXPECT_LE(most.payload_bytes_most, memory + memory / 4 + 2 * block);
}

TEST_F(LiveSource, EndsWithTheReasonWhenWhatIsSpilledFindsNoRoom) {
  const std::vector<std::string> actions{"click"};
  live_source::settings how;
  how.join = join_spec{};
  how.join->window_ms = 1'000'000;
  how.join->memory_bytes_max = 4'096;
  const auto store = std::make_shared<storage::memory_spill_store>();
  how.spill = store;
  const auto intake = open_intake({}, actions);
  const auto source = open_source(intake, how, actions);
  store->fail();
  batch_of batch;
  for (int i = 0; i < 500; ++i) batch.impression(std::to_string(i), time_.now_ms());
  ASSERT_EQ(push(*intake, batch).accepted, 500U);
  event found;
  const auto next = source->next(found);
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().code, errc::disk_full) << next.error().detail;
}

}  // namespace
}  // namespace headrace::worker
