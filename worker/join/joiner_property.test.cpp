#include "storage/memory_spill_store.hpp"
#include "storage/rocks_spill_store.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/join/joiner.hpp"
#include "worker/join/test_join_draw.hpp"
#include "worker/join/test_offline_join.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

/// Random streams against the offline join. HEADRACE_SEED=n runs one of them again,
/// HEADRACE_SEEDS=n so many of each.
namespace headrace::worker {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

template <class Case>
void for_each_seed(std::uint64_t count, Case run_case) {
  const std::uint64_t one = from_environment("HEADRACE_SEED", 0);
  const std::uint64_t last = one > 0 ? one : from_environment("HEADRACE_SEEDS", count);
  for (std::uint64_t seed = one > 0 ? one : 1; seed <= last; ++seed) {
    SCOPED_TRACE("again: HEADRACE_SEED=" + std::to_string(seed));
    run_case(seed);
    if (testing::Test::HasFailure()) return;
  }
}

std::vector<join_call> ended(std::vector<join_call> calls) {
  calls.push_back(finish());
  return calls;
}

// Everything that was counted comes to the number of events.
void expect_all_counted(const joiner::counters& count, const std::vector<join_call>& calls) {
  std::uint64_t impressions = 0;
  std::uint64_t actions = 0;
  for (const join_call& one : calls) {
    impressions += one.call == join_call::what::impression ? 1 : 0;
    actions += one.call == join_call::what::action ? 1 : 0;
  }
  EXPECT_EQ(count.impressions, impressions);
  EXPECT_EQ(count.actions, actions);
  EXPECT_EQ(count.positives + count.negatives + count.left_out + count.repeated, impressions);
  EXPECT_EQ(count.matched + count.correcting + count.repeated_actions + count.expired_actions,
            actions);
}

TEST(JoinerProperty, GivesTheLabelsOfAnOfflineJoin) {
  std::uint64_t positives = 0;
  std::uint64_t corrections = 0;
  std::uint64_t expired = 0;
  for_each_seed(1500, [&](std::uint64_t seed) {
    const drawn_join made = draw_join(seed);
    const auto calls = ended(shuffled(made.events, made.how, seed));
    joiner join(made.how);
    const auto sent = run(join, calls);
    EXPECT_EQ(final_labels(sent), offline_join(made.events, made.how, true));
    EXPECT_EQ(first_labels(sent), offline_join(made.events, made.how, false));
    EXPECT_EQ(join.count().late_events, 0U);
    EXPECT_EQ(join.pending(), 0U);
    expect_all_counted(join.count(), calls);
    positives += join.count().positives;
    corrections += join.count().corrections;
    expired += join.count().expired_actions;
  });
  if (from_environment("HEADRACE_SEED", 0) > 0) return;
  const std::uint64_t seeds = from_environment("HEADRACE_SEEDS", 1500);
  EXPECT_GT(positives, 7 * seeds);  // else it would prove nothing
  EXPECT_GT(corrections, 3 * seeds);
  EXPECT_GT(expired, 3 * seeds);
}

TEST(JoinerProperty, KeepsTheNegativesOfTheSameKeysInAnyOrder) {
  for_each_seed(300, [&](std::uint64_t seed) {
    drawn_join made = draw_join(seed);
    const auto whole = ended(shuffled(made.events, made.how, seed));
    const auto all = run(made.how, whole);
    made.how.negative_share = 0.5F;
    const auto some = run(made.how, whole);
    EXPECT_EQ(final_labels(run(made.how, ended(shuffled(made.events, made.how, seed + 1)))),
              final_labels(some));
    // What is left out are samples without any action, and nothing else.
    std::vector<sent_sample> positives;
    std::vector<sent_sample> positives_of_all;
    for (const auto& one : some)
      if (one.actions != 0) positives.push_back(one);
    for (const auto& one : all)
      if (one.actions != 0) positives_of_all.push_back(one);
    EXPECT_EQ(positives, positives_of_all);
  });
}

// Late events too: whatever comes, each event is counted once, and the run can be repeated.
TEST(JoinerProperty, CountsEachEventOnceWhateverTheOrder) {
  for_each_seed(500, [&](std::uint64_t seed) {
    drawn_join made = draw_join(seed);
    join_spec wild = made.how;
    wild.out_of_order_ms = made.how.out_of_order_ms * 3 + 500;
    auto calls = ended(shuffled(made.events, wild, seed));
    made.how.pending_max = 1 + seed % 70;
    made.how.negative_share = 0.5F;
    joiner join(made.how);
    const auto sent = run(join, calls);
    expect_all_counted(join.count(), calls);
    EXPECT_EQ(run(made.how, calls), sent);
    EXPECT_EQ(join.pending(), 0U);
    EXPECT_EQ(join.payload_bytes() > 0, join.count().impressions > 0);
  });
}

TEST(JoinerProperty, GoesOnFromWhatItSavedAsIfNothingHadBeen) {
  for_each_seed(400, [&](std::uint64_t seed) {
    drawn_join made = draw_join(seed);
    join_spec wild = made.how;
    wild.out_of_order_ms += seed % 3 == 0 ? 400 : 0;
    const auto calls = ended(shuffled(made.events, wild, seed));
    made.how.pending_max = seed % 2 == 0 ? 40 : 100'000;
    made.how.memory_bytes_max = seed % 5 == 0 ? 2000 : 0;
    joiner whole(made.how);
    const auto expected = run(whole, calls);

    random_stream draw(seed);
    auto join = std::make_unique<joiner>(made.how);
    std::vector<sent_sample> sent;
    for (const join_call& one : calls) {
      apply(*join, one);
      if (draw.next_below(8) != 0) {
        take_all(*join, sent);
        continue;
      }
      take_all(*join, sent, draw.next_below(3));  // some are ready but not taken
      const auto saved = join->save();
      ASSERT_TRUE(saved.ok());
      auto next = std::make_unique<joiner>(made.how);
      const auto loaded = next->load(*saved);
      ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
      EXPECT_EQ(*next->save(), *saved);
      join = std::move(next);
      take_all(*join, sent);
    }
    EXPECT_EQ(sent, expected);
    EXPECT_EQ(join->count(), whole.count());
    EXPECT_EQ(join->watermark_ms(), whole.watermark_ms());
  });
}

TEST(JoinerProperty, NothingThatIsSeenDependsOnTheSecret) {
  for_each_seed(100, [&](std::uint64_t seed) {
    drawn_join made = draw_join(seed);
    const auto calls = shuffled(made.events, made.how, seed);
    made.how.pending_max = 1 + seed % 70;
    joiner one(made.how, nullptr, mix64(seed));
    joiner other(made.how, nullptr, mix64(~seed));
    EXPECT_EQ(run(one, calls), run(other, calls));
    EXPECT_EQ(*one.save(), *other.save());
    EXPECT_EQ(one.count(), other.count());
  });
}

TEST(JoinerProperty, IdleOnlyClosesEarlierAndChangesNoLabelOfEventsInBounds) {
  std::uint64_t earlier = 0;
  for_each_seed(400, [&](std::uint64_t seed) {
    const drawn_join made = draw_join(seed);
    std::vector<join_call> calls = ended(shuffled(made.events, made.how, seed));
    // arrived_ms is on the log's clock, which goes as event time does.
    for (join_call& one : calls) one.arrived_ms = 0;
    std::uint64_t newest = 0;
    for (join_call& one : calls) one.arrived_ms = newest = std::max(newest, one.time_ms);
    random_stream draw(seed);
    std::vector<join_call> with_idle;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      with_idle.push_back(calls[i]);
      if (i + 1 == calls.size() || draw.next_below(3) != 0) continue;
      // No further than what is still to come allows.
      std::uint64_t oldest = UINT64_MAX;
      for (std::size_t j = i + 1; j + 1 < calls.size(); ++j)
        oldest = std::min(oldest, calls[j].time_ms);
      if (oldest == UINT64_MAX) oldest = newest + 5000;
      with_idle.push_back(idle(oldest + made.how.out_of_order_ms));
    }
    joiner without(made.how);
    joiner with(made.how);
    std::vector<sent_sample> plain;
    std::vector<sent_sample> sent;
    for (const join_call& one : with_idle) {
      apply(with, one);
      take_all(with, sent);
      if (one.call == join_call::what::idle) continue;
      apply(without, one);
      take_all(without, plain);
      const auto firsts = first_labels(sent).size();
      const auto plain_firsts = first_labels(plain).size();
      ASSERT_GE(firsts, plain_firsts);
      earlier += firsts > plain_firsts ? 1 : 0;
    }
    EXPECT_EQ(with.count().late_events, 0U);
    EXPECT_EQ(final_labels(sent), final_labels(plain));
    EXPECT_EQ(first_labels(sent), first_labels(plain));
  });
  if (from_environment("HEADRACE_SEED", 0) > 0) return;
  EXPECT_GT(earlier, 1000U);
}

// Spilled or not, with a hundredth of the memory.
void expect_the_same_spilled(std::uint64_t seed, storage::spill_store& store) {
  drawn_join made = draw_join(seed);
  auto calls = ended(shuffled(made.events, made.how, seed));
  for (join_call& one : calls) {
    if (one.call == join_call::what::impression) one.payload.resize(1500 + seed % 7, '-');
  }
  joiner whole(made.how);
  const auto expected = run(whole, calls);
  made.how.memory_bytes_max = made.events.size() * 15;
  joiner join(made.how, &store);
  std::vector<sent_sample> sent;
  std::uint64_t spilled = 0;
  for (const join_call& one : calls) {
    apply(join, one);
    spilled = std::max(spilled, join.spilled());
    take_all(join, sent);
    ASSERT_FALSE(join.failure());
    ASSERT_LE(join.payload_bytes(), made.how.memory_bytes_max + (1 << 20) + 3 * 4096);
  }
  EXPECT_EQ(sent, expected);
  EXPECT_EQ(join.count(), whole.count());
  EXPECT_EQ(join.spilled(), 0U);
}

TEST(JoinerProperty, SpillingToMemoryChangesNothing) {
  std::uint64_t written = 0;
  for_each_seed(300, [&](std::uint64_t seed) {
    storage::memory_spill_store store;
    expect_the_same_spilled(seed, store);
    written += store.written();
  });
  if (from_environment("HEADRACE_SEED", 0) > 0) return;
  EXPECT_GT(written, 5'000U);
}

TEST(JoinerProperty, SpillingToRocksDbChangesNothing) {
  for_each_seed(4, [&](std::uint64_t seed) {
    const storage::temporary_folder folder;
    const auto store = storage::rocks_spill_store::open(folder.path(), 64 << 10);
    ASSERT_TRUE(store.ok()) << describe(store.error());
    expect_the_same_spilled(seed, **store);
  });
}

TEST(JoinerProperty, SavesWhatIsSpilledAndLoadsItWithAnyBudget) {
  for_each_seed(150, [&](std::uint64_t seed) {
    drawn_join made = draw_join(seed);
    auto calls = ended(shuffled(made.events, made.how, seed));
    for (join_call& one : calls) {
      if (one.call == join_call::what::impression) one.payload.resize(1500, '-');
    }
    const auto expected = run(made.how, calls);
    std::vector<std::unique_ptr<storage::memory_spill_store>> stores;
    std::unique_ptr<joiner> join;
    std::vector<sent_sample> sent;
    const std::size_t each = 1 + calls.size() / 3;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (i % each == 0) {
        join_spec how = made.how;
        how.memory_bytes_max = 1 + i * 7;
        stores.push_back(std::make_unique<storage::memory_spill_store>());
        auto next = std::make_unique<joiner>(how, stores.back().get());
        if (join != nullptr) {
          const auto saved = join->save();
          ASSERT_TRUE(saved.ok());
          ASSERT_TRUE(next->load(*saved).ok());
          EXPECT_EQ(*next->save(), *saved);
        }
        join = std::move(next);
      }
      apply(*join, calls[i]);
      if (i % 5 != 0) take_all(*join, sent);
    }
    take_all(*join, sent);
    EXPECT_EQ(sent, expected);
  });
}

}  // namespace
}  // namespace headrace::worker
