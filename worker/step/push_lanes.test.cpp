#include "worker/step/push_lanes.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t ms = 1'000'000;

/// A push whose one gradient is `value`.
frame push_of(
    schemas::lane lane, std::uint32_t shard, batch_number prev, batch_number batch, float value) {
  const std::uint64_t key = 7;
  schemas::push_section section;
  section.lane = lane;
  section.shard = shard_id{shard};
  section.source = {"clicks", 1};
  section.batch = batch;
  section.prev = prev;
  section.blocks.push_back({table_id{0},
                            1,
                            schemas::value_codec::fp32,
                            {&key, 1},
                            {},
                            {},
                            std::as_bytes(std::span(&value, 1))});
  return schemas::encode(section);
}

/// What shards do with sections: the rule of design §4 for each lane, and the sum of what came.
struct shard_of_test {
  struct chain {
    batch_number watermark;
    double sum = 0.0;
  };
  std::map<schemas::lane, chain> lanes;

  schemas::push_ack push(const outgoing& one) {
    const auto section = schemas::decode_push(one.bytes);
    CHECK(section.ok());
    chain& at = lanes[section->lane];
    schemas::push_ack ack;
    ack.shard = one.shard;
    ack.lane = section->lane;
    if (section->prev > at.watermark) {
      ack.status = errc::gap;
    } else if (section->batch > at.watermark) {
      EXPECT_TRUE(section->blocks.empty() || section->prev == at.watermark)
          << "a push with contents covers what the shard has, and more";
      for (const auto& block : section->blocks)
        at.sum += static_cast<double>(block.fp32_values()[0]);
      at.watermark = section->batch;
      ack.applied = true;
      ack.lsn = lsn{1};
    }
    ack.watermark = at.watermark;
    return ack;
  }
};

/// A worker of two shards that sums the numbers of its batches: a push of lane rows carries that of
/// its batch, one of lane dense all since the last.
struct worker_of_test {
  worker_of_test(std::vector<batch_number> rows,
                 std::vector<batch_number> dense,
                 std::uint64_t cadence)
      : lanes(spec(), rows, dense, cadence) {
    next = std::min(*std::ranges::min_element(rows), *std::ranges::min_element(dense)).value + 1;
  }
  static window_spec spec() {
    window_spec made;
    made.source = {"clicks", 1};
    made.in_flight_max = 3;
    made.advance_after = 5;
    return made;
  }

  /// Trains a batch; its sections. Shard s has rows of it where bit s of `touched` is set.
  std::vector<outgoing> learn(std::uint32_t touched, bool last, std::uint64_t now = 0) {
    const batch_number batch{next++};
    const batch_number prev{batch.value - 1};
    const auto value = static_cast<float>(batch.value);
    lanes.start(batch, last);
    if (!lanes.dense_has(batch)) summed += value;
    std::vector<frame> sections(2);
    for (std::uint32_t s = 0; s < 2; ++s) {
      if ((touched >> s & 1U) != 0)
        sections[s] = push_of(schemas::lane::rows, s, prev, batch, value);
    }
    auto out = lanes.submit(batch, prev, sections, now);
    if (!lanes.dense_is_due(batch)) return out;
    for (std::uint32_t s = 0; s < 2; ++s)
      sections[s] = push_of(schemas::lane::dense, s, lanes.dense_prev(), batch, summed);
    summed = 0.0F;
    for (auto& one : lanes.submit_dense(batch, sections, now)) out.push_back(std::move(one));
    return out;
  }

  push_lanes lanes;
  std::uint64_t next = 1;
  float summed = 0.0F;
};

/// "rows 0:(2,3] dense 1:(0,4]+" = lane, shard, prev, batch; + where it carries keys.
std::string text(const std::vector<outgoing>& sections) {
  std::string out;
  for (const outgoing& one : sections) {
    const auto read = schemas::decode_push(one.bytes);
    CHECK(read.ok());
    if (!out.empty()) out += ' ';
    out += read->lane == schemas::lane::rows ? "rows " : "dense ";
    out += std::to_string(one.shard.value) + ":(" + std::to_string(read->prev.value) + ',' +
           std::to_string(read->batch.value) + ']' + (read->blocks.empty() ? "" : "+");
  }
  return out;
}

schemas::push_ack ack_of(schemas::lane lane, std::uint32_t shard, std::uint64_t watermark) {
  schemas::push_ack ack;
  ack.shard = shard_id{shard};
  ack.lane = lane;
  ack.watermark = batch_number{watermark};
  ack.applied = true;
  ack.lsn = lsn{watermark};
  return ack;
}

TEST(PushLanes, PushTheDenseSumAtMultiplesOfTheCadenceAndWithTheLastBatch) {
  worker_of_test worker({{}, {}}, {{}, {}}, 2);
  EXPECT_EQ(text(worker.learn(1, false)), "rows 0:(0,1]+");
  EXPECT_EQ(text(worker.learn(1, false)), "rows 0:(1,2]+ dense 0:(0,2]+ dense 1:(0,2]+");
  EXPECT_EQ(text(worker.learn(0, true)), "dense 0:(2,3]+ dense 1:(2,3]+");
}

TEST(PushLanes, TakeAnAnswerToTheLaneItNames) {
  worker_of_test worker({{}, {}}, {{}, {}}, 1);
  worker.learn(3, false);
  for (std::uint32_t s = 0; s < 2; ++s) worker.lanes.on_ack(ack_of(schemas::lane::rows, s, 1), 0);
  EXPECT_EQ(worker.lanes.completed_through(), batch_number{1});
  EXPECT_FALSE(worker.lanes.idle()) << "no shard has the dense push";
  EXPECT_EQ(worker.lanes.safe_through(), batch_number{0});
  for (std::uint32_t s = 0; s < 2; ++s) worker.lanes.on_ack(ack_of(schemas::lane::dense, s, 1), 0);
  EXPECT_TRUE(worker.lanes.drained());
  EXPECT_EQ(worker.lanes.safe_through(), batch_number{1});
}

TEST(PushLanes, AShardThatAsksForPatienceGetsItInBothLanes) {
  worker_of_test worker({{}, {}}, {{}, {}}, 1);
  worker.learn(3, false);
  auto refused = ack_of(schemas::lane::rows, 0, 0);
  refused.status = errc::overloaded;
  refused.retry_after_ms = 2'000;
  worker.lanes.on_ack(refused, 0);
  EXPECT_EQ(text(worker.lanes.on_timeout(1'000 * ms)), "rows 1:(0,1]+ dense 1:(0,1]+");
  EXPECT_EQ(text(worker.lanes.on_timeout(2'000 * ms)),
            "rows 0:(0,1]+ rows 1:(0,1]+ dense 0:(0,1]+ dense 1:(0,1]+");
}

TEST(PushLanes, EndOnePushAtTheWatermarkOfAShardThatIsAhead) {
  worker_of_test worker({batch_number{8}, batch_number{9}}, {batch_number{6}, batch_number{8}}, 5);
  EXPECT_EQ(worker.next, 7U);
  EXPECT_EQ(text(worker.learn(3, false)), "") << "both shards have the rows of batch 7";
  EXPECT_EQ(text(worker.learn(3, false)), "dense 0:(6,8]+");
  EXPECT_EQ(text(worker.learn(3, false)), "rows 0:(8,9]+");
  EXPECT_EQ(text(worker.learn(3, false)),
            "rows 0:(9,10]+ rows 1:(9,10]+ dense 0:(8,10]+ dense 1:(8,10]+");
}

// Messages and answers are lost, repeated and late; workers die at any moment and their successors
// may have another cadence. In the end each shard has summed every batch once in each lane.
TEST(PushLanes, CountEveryBatchOnceWhateverIsLostAndWhoeverDies) {
  const char* given = std::getenv("HEADRACE_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20'261'127;
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  constexpr std::uint64_t batches = 60;
  for (std::uint64_t round = 0; round < 200; ++round) {
    random_stream random(seed + round);
    std::vector<std::uint32_t> touched(batches + 1);  // the same in each life
    double rows_expected[2] = {};
    for (std::uint64_t b = 1; b <= batches; ++b) {
      touched[b] = static_cast<std::uint32_t>(random.next_below(4));
      for (std::size_t s = 0; s < 2; ++s)
        if ((touched[b] >> s & 1U) != 0) rows_expected[s] += static_cast<double>(b);
    }
    shard_of_test shards[2];
    std::vector<schemas::push_ack> late;
    std::uint64_t now = 0;
    const auto marks = [&](schemas::lane lane) {
      return std::vector<batch_number>{shards[0].lanes[lane].watermark,
                                       shards[1].lanes[lane].watermark};
    };
    const auto born = [&] {
      late.clear();
      return std::make_unique<worker_of_test>(
          marks(schemas::lane::rows), marks(schemas::lane::dense), 1 + random.next_below(7));
    };
    auto worker = born();
    const auto deliver = [&](const std::vector<outgoing>& sections) {
      for (const outgoing& one : sections) {
        const std::uint64_t copies = random.next_below(8) == 0 ? 0 : 1 + random.next_below(2);
        for (std::uint64_t c = 0; c < copies; ++c)
          late.push_back(shards[one.shard.value].push(one));
      }
    };
    for (std::uint64_t turn = 0; !worker->lanes.drained() || worker->next <= batches; ++turn) {
      ASSERT_LT(turn, 20'000U) << "round " << round << " does not end";
      const std::uint64_t what = random.next_below(100);
      if (what == 0 && turn < 1'000) {
        worker = born();
      } else if (what < 40 && worker->next <= batches && worker->lanes.may_start()) {
        const std::uint64_t batch = worker->next;
        deliver(worker->learn(touched[batch], batch == batches, now));
      } else if (what < 80 && !late.empty()) {
        const std::size_t which = random.next_below(late.size());
        const auto ack = late[which];
        late.erase(late.begin() + static_cast<std::ptrdiff_t>(which));
        if (random.next_below(10) > 0) deliver(worker->lanes.on_ack(ack, now));
      } else {
        now += 100 * ms;
        deliver(worker->lanes.on_timeout(now));
        if (worker->next > batches && worker->lanes.idle()) deliver(worker->lanes.finish(now));
      }
    }
    for (std::size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(shards[s].lanes[schemas::lane::rows].sum, rows_expected[s]) << "round " << round;
      EXPECT_EQ(shards[s].lanes[schemas::lane::dense].sum, batches * (batches + 1) / 2.0)
          << "round " << round;
    }
  }
}

}  // namespace
}  // namespace headrace::worker
