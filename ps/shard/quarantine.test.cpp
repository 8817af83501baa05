#include "ps/shard/quarantine.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace headrace::ps {
namespace {

std::uint64_t seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(Quarantine, ComesAtTheLimitWithinTheWindow) {
  quarantine ward;
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(ward.note("a", errc::norm_exceeded));
  EXPECT_FALSE(ward.is_quarantined("a"));
  EXPECT_TRUE(ward.note("a", errc::not_finite));
  EXPECT_TRUE(ward.is_quarantined("a"));
  EXPECT_FALSE(ward.is_quarantined("b"));
  EXPECT_FALSE(ward.note("a", errc::not_finite)) << "it is in already";
}

TEST(Quarantine, ForgetsRefusalsThatLeftTheWindow) {
  quarantine ward;
  for (int i = 0; i < 7; ++i) (void)ward.note("a", errc::norm_exceeded);
  for (int i = 0; i < 57; ++i) (void)ward.note("a", errc::ok);
  EXPECT_FALSE(ward.note("a", errc::norm_exceeded)) << "the first one is 65 pushes ago";
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(ward.note("a", errc::norm_exceeded));
  EXPECT_FALSE(ward.is_quarantined("a")) << "six of the first seven have left as well";
}

TEST(Quarantine, CountsOnlyWhatExplodes) {
  quarantine ward;
  for (int i = 0; i < 100; ++i) {
    (void)ward.note("a", errc::bad_dims);
    (void)ward.note("a", errc::unknown_table);
    (void)ward.note("a", errc::bad_keys);
  }
  EXPECT_FALSE(ward.is_quarantined("a"));
}

TEST(Quarantine, AgreesWithAListOfTheLastPushes) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed() + 4);
  for (int round = 0; round < 200; ++round) {
    quarantine_limits limits;
    limits.window = static_cast<std::uint32_t>(1 + random.next_below(64));
    limits.refusals_max = static_cast<std::uint32_t>(1 + random.next_below(limits.window));
    quarantine ward(limits);
    std::vector<bool> pushes;
    const std::uint64_t good = 1 + random.next_below(12);
    for (int i = 0; i < 400; ++i) {
      pushes.push_back(random.next_below(good) == 0);
      const bool in = ward.note("a", pushes.back() ? errc::not_finite : errc::ok);
      const std::size_t looked_at = std::min<std::size_t>(pushes.size(), limits.window);
      const auto refused =
          std::count(pushes.end() - static_cast<std::ptrdiff_t>(looked_at), pushes.end(), true);
      ASSERT_EQ(in, pushes.back() && refused >= limits.refusals_max);
      if (!in) continue;
      ASSERT_TRUE(ward.release("a"));
      pushes.clear();
    }
  }
}

TEST(Quarantine, OnlyReleaseLetsASourceInAgain) {
  quarantine ward({.refusals_max = 2});
  EXPECT_FALSE(ward.release("a"));
  (void)ward.note("a", errc::not_finite);
  EXPECT_FALSE(ward.release("a")) << "it is not in quarantine yet";
  (void)ward.note("a", errc::not_finite);
  for (int i = 0; i < 1'000; ++i) (void)ward.note("a", errc::ok);
  EXPECT_TRUE(ward.is_quarantined("a"));
  EXPECT_TRUE(ward.release("a"));
  EXPECT_FALSE(ward.is_quarantined("a"));
  EXPECT_FALSE(ward.note("a", errc::not_finite)) << "its window is empty";
}

TEST(Quarantine, IsTheSameAfterSaveAndLoad) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed() + 5);
  const quarantine_limits limits{.refusals_max = 4, .window = 16, .sources_max = 6};
  quarantine ward(limits);
  for (int i = 0; i < 500; ++i) {
    const std::string source = "s" + std::to_string(random.next_below(12));
    const errc status = random.next_below(8) == 0 ? errc::norm_exceeded : errc::ok;
    byte_writer to;
    ward.save(to);
    const auto bytes = to.take();
    quarantine again(limits);
    byte_reader from(bytes);
    ASSERT_TRUE(again.load(from).ok());
    ASSERT_TRUE(from.at_end());
    ASSERT_EQ(again.note(source, status), ward.note(source, status));
    byte_writer one;
    byte_writer other;
    ward.save(one);
    again.save(other);
    ASSERT_EQ(one.take(), other.take());
  }
}

TEST(Quarantine, RefusesEveryCutOfItsState) {
  quarantine ward({.refusals_max = 2});
  for (const char* source : {"a", "b"}) {
    (void)ward.note(source, errc::not_finite);
    (void)ward.note(source, errc::not_finite);
  }
  byte_writer to;
  ward.save(to);
  const auto bytes = to.take();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    quarantine again;
    byte_reader from(std::span<const std::byte>(bytes).first(size));
    const auto read = again.load(from);
    ASSERT_FALSE(read.ok()) << size;
    EXPECT_EQ(read.error().code, errc::corrupt);
    EXPECT_FALSE(again.is_quarantined("a"));
  }
}

TEST(Quarantine, RemembersABoundedNumberAndNeverForgetsAPrisoner) {
  quarantine ward({.refusals_max = 2, .window = 64, .sources_max = 3});
  const auto refuse = [&](const std::string& source) {
    return ward.note(source, errc::not_finite);
  };
  const auto known = [&] {
    std::string names;
    ward.visit([&](const std::string& name, const quarantine::standing&) { names += name + " "; });
    return names;
  };
  (void)refuse("prisoner");
  EXPECT_TRUE(refuse("prisoner"));
  (void)refuse("old");
  (void)refuse("newer");
  (void)refuse("newest");
  EXPECT_EQ(known(), "newer newest prisoner ");
  for (int i = 0; i < 200; ++i) (void)refuse("x" + std::to_string(i));
  EXPECT_TRUE(ward.is_quarantined("prisoner"));
  EXPECT_TRUE(refuse("x198"));
  EXPECT_TRUE(refuse("x199"));
  EXPECT_FALSE(refuse("y"));
  EXPECT_FALSE(refuse("y")) << "three are in: a fourth cannot be counted";
  EXPECT_EQ(known(), "prisoner x198 x199 ");
}

TEST(Quarantine, VisitTellsWhatAnOperatorNeeds) {
  quarantine ward({.refusals_max = 2});
  (void)ward.note("a", errc::norm_exceeded);
  (void)ward.note("a", errc::not_finite);
  (void)ward.note("b", errc::norm_exceeded);
  std::vector<quarantine::standing> seen;
  ward.visit([&](const std::string&, const quarantine::standing& of) { seen.push_back(of); });
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].refusals, 2U);
  EXPECT_EQ(seen[0].last, errc::not_finite);
  EXPECT_TRUE(seen[0].quarantined);
  EXPECT_EQ(seen[1].refusals, 1U);
  EXPECT_FALSE(seen[1].quarantined);
}

}  // namespace
}  // namespace headrace::ps
