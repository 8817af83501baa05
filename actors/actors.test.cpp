#include "actors/fetched_stream.hpp"
#include "actors/ingest_actor.hpp"
#include "actors/samples_actor.hpp"
#include "actors/shard_actor.hpp"
#include "actors/supervisor.hpp"
#include "actors/system_config.hpp"
#include "actors/test_node.hpp"
#include "actors/worker_actor.hpp"
#include "schemas/control.hpp"
#include "schemas/hash.hpp"
#include "worker/batch/sealed_stream.hpp"
#include "worker/model/presets.hpp"

#include <caf/actor_system.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

/// Whole pipelines of actors on CAF's deterministic scheduler: one thread, time that moves when
/// told to.
namespace headrace::actors {
namespace {

using storage::memory_log;

const schemas::source_id source{"clicks", 1};

struct deterministic_config : system_config {
  deterministic_config() { set("scheduler.policy", caf::atom("testing")); }
};

/// Keeps every answer.
struct collected_replies final : reply_path {
  std::vector<frame> sections;
  void reply(const reply_ticket&, schemas::message_kind, shard_id, frame section) override {
    sections.push_back(std::move(section));
  }
  schemas::push_ack last_ack() const { return *schemas::decode_push_ack(sections.back()); }
};

/// A push of +1 to one row of the shard.
frame push_of(shard_id shard, std::uint64_t batch) {
  const std::uint64_t key = key_on(shard);
  const std::uint32_t count = 1;
  const float one = 1.0F;
  schemas::push_section section;
  section.shard = shard;
  section.source = source;
  section.batch = batch_number{batch};
  section.prev = batch_number{batch - 1};
  schemas::row_block block;
  block.table = table_id{0};
  block.dim = 1;
  block.keys = std::span(&key, 1);
  block.counts = std::span(&count, 1);
  block.values = std::as_bytes(std::span(&one, 1));
  section.blocks.push_back(block);
  return schemas::encode(section);
}

class Actors : public ::testing::Test {
 protected:
  Actors() : system_(config_) {}

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }
  void start_shards(std::uint32_t restarts_max = 5, std::uint64_t flush_interval_ms = 0) {
    supervisor_options options;
    options.shards = shards;
    options.restarts.restarts_max = restarts_max;
    options.flush_interval_ms = flush_interval_ms;
    options.opener = [this](shard_id id) { return node_.opener(id); };
    options.on_failure = [this](const error& why) { failure_ = why; };
    supervisor_ = spawn_supervisor(system_, std::move(options), routes_);
    scheduler().run();
  }
  void serve(schemas::message_kind kind, shard_id shard, frame section) {
    const shard_handle owner = routes_.find(shard);
    if (!owner) return;
    section_job job{kind, shard, std::move(section), reply_ticket{}, replies_};
    caf::anon_send(owner, serve_atom_v, std::make_shared<const section_job>(std::move(job)));
    scheduler().run();
  }
  /// Lets restarts come that wait: a failed shard's first five take less than a second.
  void wait_for_restart() {
    scheduler().advance_time(std::chrono::seconds(1));
    scheduler().run();
  }
  void stop_shards() {
    if (!supervisor_) return;
    caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
    scheduler().run();
    supervisor_ = nullptr;
    routes_.clear();
  }
  ~Actors() override {
    stop_shards();
    scheduler().run();
  }

  deterministic_config config_;
  caf::actor_system system_;
  memory_node node_;
  routing_table routes_{shards};
  std::shared_ptr<collected_replies> replies_ = std::make_shared<collected_replies>();
  caf::actor supervisor_;
  std::optional<error> failure_;
};

TEST_F(Actors, AShardAcknowledgesAPushWithItsWatermark) {
  start_shards();
  serve(schemas::message_kind::push, shard_id{1}, push_of(shard_id{1}, 1));
  ASSERT_EQ(replies_->sections.size(), 1U);
  EXPECT_EQ(replies_->last_ack().status, errc::ok);
  EXPECT_TRUE(replies_->last_ack().applied);
  EXPECT_EQ(replies_->last_ack().watermark, batch_number{1});
}

TEST_F(Actors, AKilledShardComesBackWithWhatItAcknowledged) {
  start_shards();
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  caf::anon_send_exit(routes_.find(shard_id{0}), caf::exit_reason::kill);
  scheduler().run();
  wait_for_restart();
  EXPECT_EQ(node_.opened[0], 2);
  EXPECT_EQ(node_.opened[1], 1) << "a neighbour must not be restarted";
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  EXPECT_EQ(replies_->last_ack().status, errc::ok);
  EXPECT_FALSE(replies_->last_ack().applied) << "the push was applied twice";
}

TEST_F(Actors, AnUnknownOutcomeEndsTheIncarnationAndTheRetrySettlesIt) {
  start_shards();
  node_.logs[0]->next(memory_log::fate::unknown_present, errc::io_error);
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  EXPECT_TRUE(replies_->sections.empty()) << "an unknown outcome must not be acknowledged";
  wait_for_restart();
  EXPECT_EQ(node_.opened[0], 2);
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  ASSERT_EQ(replies_->sections.size(), 1U);
  EXPECT_FALSE(replies_->last_ack().applied);
  EXPECT_EQ(replies_->last_ack().watermark, batch_number{1});
}

TEST_F(Actors, AFullDiskRefusesAndTheShardLivesOn) {
  start_shards();
  node_.logs[0]->next(memory_log::fate::refuse, errc::disk_full);
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  EXPECT_EQ(replies_->last_ack().status, errc::overloaded);
  EXPECT_GT(replies_->last_ack().retry_after_ms, 0U);
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  EXPECT_EQ(replies_->last_ack().status, errc::ok);
  EXPECT_TRUE(replies_->last_ack().applied);
  EXPECT_EQ(node_.opened[0], 1);
}

TEST_F(Actors, ADelayedCommitAcknowledgesOnlyWhenItArrives) {
  start_shards();
  node_.logs[0]->hold(true);
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  EXPECT_TRUE(replies_->sections.empty());
  node_.logs[0]->deliver();
  scheduler().run();
  ASSERT_EQ(replies_->sections.size(), 1U);
  EXPECT_TRUE(replies_->last_ack().applied);
}

TEST_F(Actors, TheSupervisorGivesUpAfterItsLimitAndSaysWhy) {
  start_shards(2);
  for (int i = 0; i < 3; ++i) {
    node_.logs[0]->next(memory_log::fate::unknown_absent, errc::io_error);
    serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
    wait_for_restart();
  }
  ASSERT_TRUE(failure_.has_value());
  EXPECT_EQ(failure_->code, errc::io_error);
  EXPECT_EQ(node_.opened[0], 3);
  EXPECT_FALSE(routes_.find(shard_id{0}));
  EXPECT_TRUE(routes_.find(shard_id{1}));
}

TEST_F(Actors, DamageIsNotTriedAgain) {
  node_.corrupt = true;
  start_shards();
  ASSERT_TRUE(failure_.has_value());
  EXPECT_EQ(failure_->code, errc::corrupt);
  EXPECT_EQ(failure_->detail, "segment 3 is damaged");
  EXPECT_EQ(node_.opened[0], 1);
}

TEST_F(Actors, RowsAreWrittenAtEveryFlushInterval) {
  start_shards(5, 60'000);
  for (std::uint64_t batch = 1; batch <= 2; ++batch) {
    serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, batch));
    scheduler().advance_time(std::chrono::milliseconds(60'000));
    scheduler().run();
    EXPECT_EQ(node_.rows.position(shard_id{0})->flushed, lsn{batch});
  }
}

TEST_F(Actors, StoppingWritesTheRows) {
  start_shards();
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  stop_shards();
  EXPECT_EQ(node_.rows.position(shard_id{0})->flushed, lsn{1});
}

TEST_F(Actors, AShardThatCannotWriteItsRowsOnStopSaysSo) {
  start_shards();
  serve(schemas::message_kind::push, shard_id{0}, push_of(shard_id{0}, 1));
  node_.rows.fail_next(errc::disk_full);
  stop_shards();
  ASSERT_TRUE(failure_.has_value());
  EXPECT_EQ(failure_->code, errc::disk_full);
}

/// Hands answers straight to who asked.
struct local_answers final : reply_path {
  request_path::receiver receive;
  void reply(const reply_ticket& to,
             schemas::message_kind kind,
             shard_id from,
             frame section) override {
    schemas::envelope head;
    head.kind = kind;
    head.reply = true;
    head.request_id = to.request_id;
    head.first_section = to.section;
    head.sections.push_back({from});
    if (receive) receive(head, std::move(section));
  }
};

/// A worker's way to the samples of an actor of the same system.
struct local_samples final : request_path {
  local_samples(std::shared_ptr<samples_handle> to, receiver receive, std::shared_ptr<int> losses)
      : to_(std::move(to)), losses_(std::move(losses)) {
    answers_->receive = std::move(receive);
  }
  void send(const schemas::envelope& head, std::vector<frame> sections) override {
    if (*losses_ > 0) {
      --*losses_;
      return;
    }
    section_job job{
        head.kind, shard_id{0}, sections[0], reply_ticket{{}, head.request_id, 0}, answers_};
    caf::anon_send(*to_, serve_atom_v, std::make_shared<const section_job>(std::move(job)));
  }
  void stop() override { answers_->receive = nullptr; }

 private:
  std::shared_ptr<samples_handle> to_;
  std::shared_ptr<local_answers> answers_ = std::make_shared<local_answers>();
  std::shared_ptr<int> losses_;
};

/// A worker's way to the shards of the same system, which may lose what the test says.
struct local_path final : request_path {
  local_path(routing_table routes, receiver receive, std::shared_ptr<int> losses)
      : routes_(std::move(routes)),
        replies_(std::make_shared<local_answers>()),
        losses_(std::move(losses)) {
    replies_->receive = std::move(receive);
  }
  void send(const schemas::envelope& head, std::vector<frame> sections) override {
    if (*losses_ > 0) {
      --*losses_;
      return;
    }
    for (std::uint32_t i = 0; i < sections.size(); ++i) {
      const shard_handle owner = routes_.find(head.sections[i].shard);
      if (!owner) continue;
      section_job job{head.kind,
                      head.sections[i].shard,
                      sections[i],
                      reply_ticket{{}, head.request_id, i},
                      replies_};
      caf::anon_send(owner, serve_atom_v, std::make_shared<const section_job>(std::move(job)));
    }
  }
  void stop() override { replies_->receive = nullptr; }

 private:
  routing_table routes_;
  std::shared_ptr<local_answers> replies_;
  std::shared_ptr<int> losses_;
};

class Pipeline : public Actors {
 protected:
  static constexpr std::uint64_t rows = 600;

  // Generated events, counted into rows: the sums are known exactly.
  worker::source_spec source_spec() const {
    worker::source_spec spec;
    spec.name = source.name;
    spec.generate = worker::generator::planted;
    spec.uri = "generate:planted";
    spec.rows = rows;
    return spec;
  }
  using connector = std::function<result<std::unique_ptr<request_path>>(request_path::receiver)>;
  void start_worker(std::vector<batch_number> watermarks, connector connect = nullptr) {
    auto model = worker::load_preset("count");
    CHECK(model.ok());
    worker_parts parts;
    parts.name = "worker";
    parts.trainer = std::make_unique<worker::trainer>(
        std::make_shared<const worker::model_graph>(std::move(*model)),
        counting_schema(),
        schemas::value_codec::fp32);
    worker::window_spec window;
    window.source = source;
    window.in_flight_max = 2;
    const batch_number first{std::min(watermarks[0], watermarks[1]).value + 1};
    parts.lanes = std::make_unique<worker::push_lanes>(
        window, std::move(watermarks), std::vector<batch_number>{}, 1);
    parts.book = std::make_unique<worker::score_book>(rows / 2);
    parts.board = board_;
    parts.time = &node_.time;
    parts.shards = shards;
    parts.in_flight_max = 2;
    parts.connect =
        [this](request_path::receiver receive) -> result<std::unique_ptr<request_path>> {
      return std::unique_ptr<request_path>(
          std::make_unique<local_path>(routes_, std::move(receive), losses_));
    };
    if (connect) parts.connect = std::move(connect);
    worker_ = system_.spawn<worker_actor>(std::move(parts));
    ingest_ = system_.spawn<ingest_actor>(
        apart_ ? fetch_stream(first) : seal_stream(first), worker_, node_.time, board_, 2U);
  }
  std::unique_ptr<worker::sealed_stream> seal_stream(batch_number first) {
    auto log = std::make_unique<memory_log>(samples_);
    for (const errc why : refusals_) log->next(memory_log::fate::refuse, why);
    worker::sealed_stream::parts stream_parts{
        *worker::make_source(source_spec()),
        std::move(log),
        worker::batch_builder({.source = source, .samples_max = 16}),
        std::nullopt,
        pass_};
    if (history_ > 0) stream_parts.history.emplace(worker::history_mix({.share = history_}));
    auto stream = std::make_unique<worker::sealed_stream>(std::move(stream_parts), node_.time);
    EXPECT_TRUE(stream->open(first).ok());
    return stream;
  }
  // An ingest of its own, whose actor may be killed.
  void start_samples() {
    worker::sample_shelf::settings how;
    how.source = source;
    how.stream = 5;
    how.records = rows;
    const batch_number behind{samples_->records.size() + 1};
    *samples_actor_ = system_.spawn<samples_actor>(seal_stream(behind),
                                                   how,
                                                   node_.time,
                                                   std::make_shared<progress_board>(),
                                                   std::make_shared<samples_progress>());
  }
  std::unique_ptr<worker::batch_stream> fetch_stream(batch_number first) {
    fetched_stream::parts from;
    from.how.about.source = source;
    from.how.about.bytes_max = 20'000;  // a few batches
    from.how.about.wait_ms = 1'000;
    from.first = first;
    from.connect = [this](request_path::receiver receive) -> result<std::unique_ptr<request_path>> {
      return std::unique_ptr<request_path>(
          std::make_unique<local_samples>(samples_actor_, std::move(receive), losses_));
    };
    auto opened = fetched_stream::open(std::move(from), node_.time);
    CHECK(opened.ok());
    return std::move(*opened);
  }
  ~Pipeline() override {
    caf::anon_send_exit(ingest_, caf::exit_reason::kill);
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    if (*samples_actor_) caf::anon_send_exit(*samples_actor_, caf::exit_reason::kill);
    scheduler().run();
  }
  void run_some(int jobs) {
    for (int i = 0; i < jobs; ++i) {
      if (!scheduler().try_run_once()) pass_time();
    }
  }
  void pass_time() {
    node_.time.advance_ms(100);
    scheduler().advance_time(std::chrono::milliseconds(100));
  }
  void run_to_end() {
    for (int turn = 0; turn < 20'000 && !board_->ended(); ++turn) {
      scheduler().run();
      pass_time();
    }
    scheduler().run();
  }
  /// Sum over all rows: one for each feature occurrence.
  double total() {
    double sum = 0;
    for (std::uint32_t s = 0; s < shards; ++s) {
      ps::shard replay(shard_id{s}, counting_schema(), ps::shard_limits{}, headrace::epoch{1});
      for (const auto& record : node_.disks[s]->records) EXPECT_TRUE(replay.redo(record).ok());
      replay.visit(table_id{0}, [&](row_key, std::uint32_t, std::span<const float> floats) {
        sum += static_cast<double>(floats[0]);
      });
    }
    return sum;
  }

  std::shared_ptr<progress_board> board_ = std::make_shared<progress_board>();
  std::shared_ptr<memory_log::contents> samples_ = std::make_shared<memory_log::contents>();
  std::shared_ptr<int> losses_ = std::make_shared<int>(0);
  std::uint64_t pass_ = 0;  // records between two halts
  double history_ = 0;      // share of a batch
  worker_handle worker_;
  ingest_handle ingest_;
  bool apart_ = false;          // sealed by an actor that is asked for batches
  std::vector<errc> refusals_;  // of the sample log, for its first appends
  std::shared_ptr<samples_handle> samples_actor_ = std::make_shared<samples_handle>();
};

constexpr double features = 39;

TEST_F(Pipeline, AnExceptionInTheWorkerEndsTheRunWithItsReason) {
  start_shards();
  start_worker({batch_number{0}, batch_number{0}},
               [](request_path::receiver) -> result<std::unique_ptr<request_path>> {
                 throw std::runtime_error("too many open files");
               });
  run_to_end();
  ASSERT_TRUE(board_->failure().has_value());
  EXPECT_NE(board_->failure()->detail.find("too many open files"), std::string::npos);
}

TEST_F(Pipeline, EveryEventReachesItsRowsOnce) {
  start_shards();
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(board_->read().samples, rows);
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, SaysHowManySamplesOfHistoryWereMixedIn) {
  start_shards();
  history_ = 0.25;
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  EXPECT_FALSE(board_->failure().has_value());
  std::uint64_t mixed = 0;
  for (const auto& record : samples_->records)
    mixed += schemas::decode_sample_batch(record.payload)->history;
  EXPECT_GT(mixed, rows / 5);
  EXPECT_EQ(board_->read().history, mixed);
  EXPECT_EQ(board_->read().samples, rows) << "which counts what came";
  EXPECT_EQ(total(), static_cast<double>(rows + mixed) * features);
}

TEST_F(Pipeline, HaltsBetweenPassesWithEveryPushAcknowledged) {
  start_shards();
  *losses_ = 3;
  pass_ = 200;
  start_worker({batch_number{0}, batch_number{0}});
  for (std::uint64_t pass = 1; pass <= 2; ++pass) {
    for (int turn = 0; turn < 100'000 && board_->read().passes < pass; ++turn) run_some(1);
    EXPECT_EQ(board_->read().passes, pass);
    EXPECT_EQ(total(), static_cast<double>(pass * pass_) * features);
    run_some(200);  // and waits
    EXPECT_EQ(total(), static_cast<double>(pass * pass_) * features);
    caf::anon_send(ingest_, go_on_atom_v);
  }
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, LostMessagesAreSentAgain) {
  start_shards();
  *losses_ = 7;
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_EQ(*losses_, 0);
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, AShardKilledInTheMiddleCostsNothing) {
  start_shards();
  start_worker({batch_number{0}, batch_number{0}});
  run_some(40);
  caf::anon_send_exit(routes_.find(shard_id{0}), caf::exit_reason::kill);
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(node_.opened[0], 2);
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, ARestartedWorkerGoesOnFromTheWatermarks) {
  start_shards();
  start_worker({batch_number{0}, batch_number{0}});
  run_some(60);
  caf::anon_send_exit(ingest_, caf::exit_reason::kill);
  caf::anon_send_exit(worker_, caf::exit_reason::kill);
  scheduler().run();
  std::vector<batch_number> watermarks;
  for (std::uint32_t s = 0; s < shards; ++s) {
    serve(schemas::message_kind::watermarks,
          shard_id{s},
          schemas::encode(schemas::watermark_request{shard_id{s}, source}));
    watermarks.push_back(schemas::decode_watermark_reply(replies_->sections.back())->rows);
  }
  ASSERT_GT(watermarks[0].value + watermarks[1].value, 0U) << "the first worker did nothing";
  board_ = std::make_shared<progress_board>();
  start_worker(watermarks);
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, AnIngestOfItsOwnGivesTheSameThoughMessagesAreLost) {
  start_shards();
  apart_ = true;
  *losses_ = 5;
  start_samples();
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(*losses_, 0);
  EXPECT_EQ(board_->read().samples, rows);
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, ASampleLogThatIsFullOrAwayIsOfferedTheSameBatchAgain) {
  start_shards();
  refusals_ = {errc::unavailable, errc::disk_full, errc::unavailable};
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, AnIngestOfItsOwnWaitsForItsSampleLog) {
  start_shards();
  apart_ = true;
  refusals_ = {errc::unavailable, errc::disk_full, errc::unavailable};
  start_samples();
  start_worker({batch_number{0}, batch_number{0}});
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(total(), rows * features);
}

TEST_F(Pipeline, AnIngestKilledInTheMiddleCostsNothing) {
  start_shards();
  apart_ = true;
  start_samples();
  start_worker({batch_number{0}, batch_number{0}});
  run_some(60);
  caf::anon_send_exit(*samples_actor_, caf::exit_reason::kill);
  scheduler().run();
  ASSERT_FALSE(board_->ended());
  start_samples();
  run_to_end();
  ASSERT_TRUE(board_->ended());
  EXPECT_FALSE(board_->failure().has_value());
  EXPECT_EQ(total(), rows * features);
}

}  // namespace
}  // namespace headrace::actors
