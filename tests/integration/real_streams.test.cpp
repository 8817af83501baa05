#include "base/json_line.hpp"
#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "tests/integration/live_run.hpp"
#include "tests/support/small_job.hpp"
#include "worker/join/test_join_draw.hpp"
#include "worker/join/test_offline_join.hpp"
#include "worker/join/test_real_streams.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <vector>

/// Public data sets pushed to `headrace run` as live impressions and labels: out of order, twice,
/// and killed meanwhile. What is sealed in the end is what an offline join makes of the same
/// events.
namespace headrace::tests {
namespace {

using worker::join_call;
using worker::real_stream;

// While nobody pushes, the watermark goes on with the clock: a pause on a busy machine must not end
// what is still in bounds.
constexpr std::uint64_t pauses_ms = worker::hour_ms;

std::string joining_job(const real_stream& stream, const temporary_folder& folder) {
  std::string path = folder / "job.toml";
  const auto ms = [](std::uint64_t value) { return "\"" + std::to_string(value) + "ms\"\n"; };
  std::ofstream out(path);
  out << "[job]\nname = \"real\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
      << "[source]\nuri = \"http://127.0.0.1:0\"\n";
  for (const auto& column : stream.columns) out << "[features." << column << "]\n";
  out << "[join]\nwindow = " << ms(stream.how.window_ms)
      << "out_of_order = " << ms(stream.how.out_of_order_ms + pauses_ms)
      << "correct = " << ms(stream.how.correct_ms) << "actions = [";
  for (const auto& action : stream.actions) out << '"' << action << "\", ";
  out << "]\n[model]\narch = \"count\"\n[train]\nbatch_max = 512\npush = \"fp32\"\n"
      << "[durability]\nlog = \"os\"\nkeep_log = \"all\"\nflush_interval = \"300ms\"\n";
  return path;
}

std::vector<std::string> fields_of(const std::string& payload) {
  std::vector<std::string> fields(1);
  for (const char c : payload) {
    if (c == '\t') fields.emplace_back();
    if (c != '\t') fields.back() += c;
  }
  return fields;
}

std::string line_of(const real_stream& stream, const join_call& one, std::size_t id) {
  json_line line;
  line.add("id", id).add("key", one.key).add("time", one.time_ms);
  if (one.call == join_call::what::action) {
    line.add("action", stream.actions[one.kind]);
  } else {
    const auto fields = fields_of(one.payload);
    for (std::size_t f = 0; f < fields.size(); ++f) line.add(stream.columns[f], fields[f]);
  }
  return line.text() + "\n";
}

// Shuffled in bounds; behind everything an impression so late that it ends every window.
std::vector<std::string> lines_of(const real_stream& stream, std::uint64_t seed) {
  const auto events = worker::shuffled(stream.events, stream.how, seed);
  std::vector<std::string> lines;
  std::uint64_t newest = 0;
  for (const join_call& one : events) {
    lines.push_back(line_of(stream, one, lines.size()));
    newest = std::max(newest, one.time_ms);
  }
  const std::uint64_t reach =
      stream.how.window_ms + stream.how.correct_ms + stream.how.out_of_order_ms + 2 * pauses_ms;
  lines.push_back(line_of(stream, worker::impression("closer", newest + reach), lines.size()));
  return lines;
}

// Actions of each sample, by the key of the impression's first column, in the order they were
// sealed. Its other columns are those of `impressions`.
std::map<std::uint64_t, std::vector<std::uint64_t>> sealed_actions(
    const std::string& state,
    const std::map<std::uint64_t, std::vector<std::uint64_t>>& impressions) {
  std::map<std::uint64_t, std::vector<std::uint64_t>> found;
  for_each_sealed(state, [&](const schemas::sample_batch& batch, std::uint32_t place) {
    const auto keys = std::span(batch.keys).subspan(place * batch.features, batch.features);
    const auto shown = impressions.find(keys[0]);
    const bool same = shown != impressions.end() && std::ranges::equal(shown->second, keys);
    EXPECT_TRUE(same) << "sample " << batch.row_numbers[place] << " was never shown";
    std::uint64_t actions = 0;
    for (std::uint32_t l = 0; l < batch.label_count; ++l)
      actions |= std::uint64_t{batch.labels[place * batch.label_count + l] == 1.0F} << l;
    found[keys[0]].push_back(actions);
  });
  return found;
}

// Of an impression the first sample has the labels of its window; each other corrects it by an
// action more; the last has them all.
void expect_sealed_once(const std::string& state, const real_stream& stream) {
  const auto first = worker::offline_join(stream.events, stream.how, false);
  const auto last = worker::offline_join(stream.events, stream.how, true);
  std::map<std::uint64_t, std::vector<std::uint64_t>> impressions;
  for (const auto& [payload, actions] : first) {
    std::vector<std::uint64_t> keys;
    const auto fields = fields_of(payload);
    for (std::size_t f = 0; f < fields.size(); ++f)
      keys.push_back(schemas::hash_string_key(stream.columns[f], fields[f]).value);
    impressions.emplace(keys[0], keys);
  }
  ASSERT_EQ(impressions.size(), first.size());
  const auto sealed = sealed_actions(state, impressions);
  EXPECT_EQ(sealed.size(), impressions.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    const std::string& payload = first[i].first;
    ASSERT_EQ(payload, last[i].first);
    const std::string key = fields_of(payload)[0];
    const auto found = sealed.find(schemas::hash_string_key(stream.columns[0], key).value);
    ASSERT_NE(found, sealed.end()) << payload << " was lost";
    const std::vector<std::uint64_t>& actions = found->second;
    ASSERT_EQ(actions.front(), first[i].second) << payload;
    ASSERT_EQ(actions.back(), last[i].second) << payload;
    for (std::size_t n = 1; n < actions.size(); ++n) {
      ASSERT_NE(actions[n], actions[n - 1]) << payload << " was sealed twice";
      ASSERT_EQ(actions[n] & actions[n - 1], actions[n - 1]) << payload;
    }
  }
}

class RealStreams : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  }
  void replay(const real_stream& stream, std::size_t push_max) {
    const auto seed = test_seed();
    SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
    std::cout << "HEADRACE_SEED=" << seed << "\n";
    random_stream random(seed);
    const auto lines = lines_of(stream, random.next());
    const std::string state = folder_ / "state";
    push_under_fire(
        joining_job(stream, folder_), state, {lines, by_weight(6, 25), push_max}, random);
    ASSERT_FALSE(HasFailure());
    expect_sealed_once(state, stream);
    std::string why;
    EXPECT_NE(audited(state, why), "") << why;
  }
  temporary_folder folder_;
};

TEST_F(RealStreams, OpenBanditIsJoinedAsOffline) {
  const auto stream = worker::open_bandit();
  if (!stream) GTEST_SKIP() << "HEADRACE_DATA does not lead to Open Bandit";
  replay(*stream, 2'000);
}

TEST_F(RealStreams, OnlineRetailIsJoinedAsOffline) {
  const auto stream = worker::online_retail();
  if (!stream) GTEST_SKIP() << "HEADRACE_DATA does not lead to Online Retail";
  replay(*stream, 10'000);
}

}  // namespace
}  // namespace headrace::tests
