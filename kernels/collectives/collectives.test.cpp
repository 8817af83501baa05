#include "base/random.hpp"
#include "kernels/collectives/gloo_group.hpp"
#include "kernels/collectives/overlapped_sum.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace headrace::kernels {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

#ifdef HEADRACE_GLOO

/// A folder for members to meet in, gone with the test.
class meeting {
 public:
  meeting() {
    std::string name = (std::filesystem::temp_directory_path() / "headrace-meet-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~meeting() { std::filesystem::remove_all(folder_); }
  meeting(const meeting&) = delete;
  meeting& operator=(const meeting&) = delete;

  gloo_place place(unsigned rank, unsigned size) const {
    return {.group = "group", .folder = folder_, .rank = rank, .size = size};
  }

 private:
  std::filesystem::path folder_;
};

/// Floats that forked members and the test see.
class shared_floats {
 public:
  explicit shared_floats(std::size_t count) : count_(count) {
    void* at = ::mmap(
        nullptr, count * sizeof(float), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    values_ = static_cast<float*>(at);
  }
  ~shared_floats() { ::munmap(values_, count_ * sizeof(float)); }
  shared_floats(const shared_floats&) = delete;
  shared_floats& operator=(const shared_floats&) = delete;
  std::span<float> values() { return {values_, count_}; }

 private:
  std::size_t count_;
  float* values_;
};

/// A process that runs `member` and ends with what it returns.
pid_t start_member(const std::function<int()>& member) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(member());
  return child;
}

int exit_of(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

constexpr unsigned members = 3;

float value_of(unsigned rank, std::size_t i) { return unit_float(counter_draw(5, rank, i)) - 0.5F; }

TEST(GlooGroup, ProcessesAddTheirValuesUpToTheSameBits) {
  for (const std::size_t count : {1U, 2U, 1'001U, 300'000U}) {
    const meeting where;
    shared_floats sums(members * count);
    std::vector<pid_t> children;
    for (unsigned rank = 0; rank < members; ++rank) {
      children.push_back(start_member([&] {
        auto group = join_gloo_group(where.place(rank, members));
        if (!group) return 2;
        const auto mine = sums.values().subspan(rank * count, count);
        for (std::size_t i = 0; i < count; ++i) mine[i] = value_of(rank, i);
        return (*group)->all_reduce(mine) && (*group)->leave() ? 0 : 3;
      }));
    }
    for (const pid_t child : children) EXPECT_EQ(exit_of(child), 0) << count;
    for (std::size_t i = 0; i < count; ++i) {
      float exact = 0;
      for (unsigned rank = 0; rank < members; ++rank) exact += value_of(rank, i);
      ASSERT_NEAR(sums.values()[i], exact, 3e-7F) << i;  // 3 values below 0.5, in any order
      for (unsigned rank = 1; rank < members; ++rank)
        ASSERT_EQ(sums.values()[rank * count + i], sums.values()[i]) << i;
    }
  }
}

TEST(GlooGroup, EveryMemberGetsTheRootsValues) {
  const meeting where;
  shared_floats seen(members);
  std::vector<pid_t> children;
  for (unsigned rank = 0; rank < members; ++rank) {
    children.push_back(start_member([&] {
      auto group = join_gloo_group(where.place(rank, members));
      if (!group) return 2;
      seen.values()[rank] = static_cast<float>(rank + 7);
      return (*group)->broadcast(seen.values().subspan(rank, 1), 1) && (*group)->leave() ? 0 : 3;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(exit_of(child), 0);
  EXPECT_THAT(seen.values(), testing::Each(8.0F));
}

/// Sums until a call fails, then once more: 0 when both answers are as promised.
int sum_until_it_fails(const gloo_place& place, float* rounds) {
  auto group = join_gloo_group(place);
  if (!group) return 2;
  std::vector<float> values(1'000, 1.0F);
  for (;;) {
    if (auto summed = (*group)->all_reduce(values); summed) {
      ++*rounds;
      continue;
    } else if (summed.error().code != errc::unavailable) {
      return 3;
    }
    const auto again = (*group)->all_reduce(values);
    return !again && again.error().code == errc::unavailable ? 0 : 4;
  }
}

void expect_others_to_fail_when_one_gets(int signal) {
  const meeting where;
  shared_floats rounds(members);
  std::vector<pid_t> children;
  for (unsigned rank = 0; rank < members; ++rank) {
    children.push_back(start_member([&] {
      gloo_place place = where.place(rank, members);
      place.timeout = 2s;
      return sum_until_it_fails(place, &rounds.values()[rank]);
    }));
  }
  const volatile float* going = &rounds.values()[0];
  while (*going < 3.0F) std::this_thread::yield();
  ::kill(children[1], signal);
  EXPECT_EQ(exit_of(children[0]), 0);
  EXPECT_EQ(exit_of(children[2]), 0);
  ::kill(children[1], SIGKILL);
  EXPECT_EQ(exit_of(children[1]), -SIGKILL);
}

TEST(GlooGroup, AKilledMemberFailsTheOthersCalls) { expect_others_to_fail_when_one_gets(SIGKILL); }

TEST(GlooGroup, AMemberThatStallsFailsTheOthersCallsInTime) {
  expect_others_to_fail_when_one_gets(SIGSTOP);
}

TEST(GlooGroup, WhoComesAloneIsToldSo) {
  const meeting where;
  gloo_place place = where.place(0, 2);
  place.timeout = 300ms;
  const auto group = join_gloo_group(place);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, errc::unavailable);
  EXPECT_THAT(group.error().detail, HasSubstr("not all 2 members came within 300 ms"));
}

TEST(GlooGroup, OneMemberIsAGroup) {
  const meeting where;
  const auto group = join_gloo_group(where.place(0, 1));
  ASSERT_TRUE(group);
  std::vector<float> values{1, 2};
  EXPECT_TRUE((*group)->all_reduce(values));
  EXPECT_TRUE((*group)->leave());
  EXPECT_THAT(values, testing::ElementsAre(1, 2));
}

TEST(GlooGroup, RefusesPlacesThatCannotBe) {
  const meeting where;
  const auto refusal = [](const gloo_place& place) {
    const auto group = join_gloo_group(place);
    return group ? "none" : describe(group.error());
  };
  EXPECT_THAT(refusal(where.place(2, 2)), HasSubstr("rank 2 of 2 members"));
  EXPECT_THAT(refusal(where.place(0, 0)), HasSubstr("rank 0 of 0 members"));
  gloo_place place = where.place(0, 1);
  place.group = "a/b";
  EXPECT_THAT(refusal(place), HasSubstr("name \"a/b\""));
  place = where.place(0, 1);
  place.folder /= "absent";
  EXPECT_THAT(refusal(place), HasSubstr("is no folder"));
  place = where.place(0, 1);
  place.timeout = 0ms;
  EXPECT_THAT(refusal(place), HasSubstr("timeout 0 ms"));
}

TEST(OverlappedSum, SumsBucketsInOrderWhileOthersAreComputed) {
  const meeting where;
  constexpr std::size_t buckets = 8;
  constexpr std::size_t bucket = 5'000;
  shared_floats sums(2 * buckets * bucket);
  std::vector<pid_t> children;
  for (unsigned rank = 0; rank < 2; ++rank) {
    children.push_back(start_member([&] {
      auto group = join_gloo_group(where.place(rank, 2));
      if (!group) return 2;
      overlapped_sum sum(**group);
      for (std::size_t round = 0; round < 3; ++round) {
        for (std::size_t b = 0; b < buckets; ++b) {
          const auto mine = sums.values().subspan((rank * buckets + b) * bucket, bucket);
          std::ranges::fill(mine, static_cast<float>(100 * round + 10 * b + rank));
          sum.begin(mine);
        }
        if (!sum.finish()) return 3;
      }
      return (*group)->leave() ? 0 : 4;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(exit_of(child), 0);
  for (std::size_t i = 0; i < sums.values().size(); ++i)
    ASSERT_EQ(sums.values()[i], static_cast<float>(2 * (200 + 10 * (i / bucket % buckets)) + 1));
}

#else

TEST(GlooGroup, SaysThatThisBuildHasNone) {
  const auto group = join_gloo_group({.group = "group", .folder = "."});
  ASSERT_FALSE(group);
  EXPECT_THAT(group.error().detail, HasSubstr("libgloo-dev"));
}

#endif

class failing_group final : public collective_group {
 public:
  unsigned rank() const override { return 0; }
  unsigned size() const override { return 2; }
  result<void> all_reduce(std::span<float> values) override {
    if (values.size() != 3) return {};
    return error{errc::unavailable, "call " + std::to_string(++calls_)};
  }
  result<void> broadcast(std::span<float>, unsigned) override { return {}; }
  result<void> leave() override { return {}; }

 private:
  int calls_ = 0;
};

TEST(OverlappedSum, TellsTheFirstFailureOfEachRound) {
  failing_group group;
  overlapped_sum sum(group);
  std::vector<float> fine(2);
  std::vector<float> bad(3);
  for (const auto& round : {"call 1", "call 3"}) {
    for (auto* bucket : {&fine, &bad, &bad, &fine}) sum.begin(*bucket);
    const auto finished = sum.finish();
    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().detail, round);
  }
  sum.begin(fine);
  EXPECT_TRUE(sum.finish());
}

}  // namespace
}  // namespace headrace::kernels
