#include "worker/batch/sample_digest.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

/// A sample of two features and a list.
struct one {
  std::uint64_t user = 0;
  std::uint64_t item = 0;
  float label = 0.0F;
  std::vector<std::uint64_t> list;
};

schemas::sample_batch batch_of(const std::vector<one>& samples, std::uint64_t first_row = 0) {
  schemas::sample_batch made;
  made.features = 2;
  made.sequences = 1;
  for (const one& sample : samples) {
    made.keys.insert(made.keys.end(), {sample.user, sample.item});
    made.labels.push_back(sample.label);
    made.row_numbers.push_back(first_row + made.samples++);
    made.lengths.push_back(static_cast<std::uint16_t>(sample.list.size()));
    made.sequence_keys.insert(made.sequence_keys.end(), sample.list.begin(), sample.list.end());
  }
  return made;
}

sample_digest digest_of(const std::vector<schemas::sample_batch>& batches,
                        std::optional<std::size_t> by = {}) {
  sample_digest made(by);
  for (const auto& batch : batches) made.add(batch);
  return made;
}

const one a{1, 10, 0.0F, {5, 6}};
const one b{2, 10, 1.0F, {}};
const one c{1, 11, 1.0F, {7}};

TEST(SampleDigest, CutsAndRecordNumbersMakeNoDifference) {
  const auto whole = digest_of({batch_of({a, b, c})});
  const auto parts = digest_of({batch_of({a}, 70), batch_of({b, c}, 90)});
  EXPECT_EQ(whole.set(), parts.set());
  EXPECT_EQ(whole.order(), parts.order());
  EXPECT_EQ(parts.samples(), 3U);
}

TEST(SampleDigest, TheSetHasNoOrderButCountsEachSample) {
  EXPECT_EQ(digest_of({batch_of({a, b, c})}).set(), digest_of({batch_of({c, a, b})}).set());
  EXPECT_NE(digest_of({batch_of({a, b, c})}).set(), digest_of({batch_of({a, b, c, c})}).set());
  EXPECT_NE(digest_of({batch_of({a, a})}).set(), digest_of({batch_of({b, b})}).set());
  EXPECT_NE(digest_of({batch_of({a, b})}).set(), digest_of({batch_of({a})}).set());
}

TEST(SampleDigest, OrderIsThatOfEachKeyAlone) {
  const auto by_user = [](const std::vector<one>& samples) {
    return digest_of({batch_of(samples)}, 0).order();
  };
  EXPECT_EQ(by_user({a, b, c}), by_user({b, a, c}));  // a and c are of one user
  EXPECT_NE(by_user({a, b, c}), by_user({c, b, a}));
  EXPECT_EQ(digest_of({batch_of({a, b, c})}, 0).keys(), 2U);
  // Without a key it is the order of all.
  EXPECT_NE(digest_of({batch_of({a, b, c})}).order(), digest_of({batch_of({b, a, c})}).order());
  EXPECT_EQ(digest_of({batch_of({a, b, c})}).keys(), 1U);
}

TEST(SampleDigest, EverythingThatIsLearnedIsOfIt) {
  const auto set = [](const one& sample) { return digest_of({batch_of({sample})}).set(); };
  const one relabelled{1, 10, 1.0F, {5, 6}};
  const one exchanged{10, 1, 0.0F, {5, 6}};
  const one shorter{1, 10, 0.0F, {5}};
  const one turned{1, 10, 0.0F, {6, 5}};
  for (const one& other : {relabelled, exchanged, shorter, turned, b, c})
    EXPECT_NE(set(a), set(other));
  auto with_values = batch_of({a});
  with_values.values = {1.0F, 1.0F};
  EXPECT_EQ(digest_of({with_values}).set(), set(a)) << "1 stands where there are no values";
  with_values.values = {1.0F, 2.0F};
  EXPECT_NE(digest_of({with_values}).set(), set(a));
  // A list's end moves no key from one sample to the next.
  const one long_first{1, 10, 0.0F, {5, 6, 7}};
  const one short_second{1, 11, 1.0F, {}};
  EXPECT_NE(digest_of({batch_of({a, c})}).set(),
            digest_of({batch_of({long_first, short_second})}).set());
}

TEST(SampleDigest, OfNothingIsZero) {
  const auto none = digest_of({});
  EXPECT_EQ(schemas::to_string(none.set()), std::string(32, '0'));
  EXPECT_EQ(none.set(), none.order());
  EXPECT_EQ(none.keys(), 0U);
}

}  // namespace
}  // namespace headrace::worker
