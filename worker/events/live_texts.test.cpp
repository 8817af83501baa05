#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "storage/memory_log.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/events/live_source.hpp"
#include "worker/events/test_streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// Live events whose texts are judged, against a look at each text.
namespace headrace::worker {
namespace {

constexpr std::size_t texts_known = 8;
constexpr std::uint64_t window_ms = 50;

feature_spec feature(const std::string& name, feature_kind kind, const std::string& column) {
  feature_spec made;
  made.name = made.salt = name;
  made.column = column;
  made.kind = kind;
  return made;
}

/// The number of an event, its words, and how many of its user were there before.
source_spec job(bool joins) {
  source_spec made;
  feature_spec before = feature("before", feature_kind::float_value, "none");
  before.window = sliding_window{sliding_window::measure::count, 1'000'000, {"user"}, "", {}};
  made.features = {feature("number", feature_kind::id, "number"),
                   feature("words", feature_kind::ids, "body"),
                   before};
  if (!joins) made.label = {"number", label_spec::comparison::greater_equal, 0.0, {}};
  text_spec body;
  body.column = "body";
  body.chars_min = 3;
  body.near = 0;
  body.near_window = texts_known;
  made.texts = {body};
  return made;
}

const std::vector<std::string> click{"click"};
std::vector<std::string> actions(bool joins) { return joins ? click : std::vector<std::string>{}; }

event_schema schema_of(const source_spec& source, bool joins) {
  auto bound = event_schema::bind(source, actions(joins));
  EXPECT_TRUE(bound.ok()) << (bound.ok() ? "" : describe(bound.error()));
  return std::move(*bound);
}

live_source::settings settings_of(const source_spec& source, bool joins) {
  live_source::settings how;
  how.source = source;
  how.of_texts = std::make_shared<text_board>();
  how.board = std::make_shared<join_board>();
  if (!joins) return how;
  how.join.emplace();
  how.join->window_ms = window_ms;
  return how;
}

struct happened {
  std::string number;
  std::string body;
  std::uint64_t time_ms = 0;
  bool is_action = false;
};

frame batch_of_all(const std::vector<happened>& events) {
  schemas::event_batch_builder builder;
  builder.begin("test");
  for (const happened& one : events) {
    builder.event((one.is_action ? "a" : "i") + one.number, "k" + one.number, one.time_ms);
    if (one.is_action) builder.action(builder.name("click"));
    if (one.is_action) continue;
    builder.text(builder.name("number"), one.number);
    builder.text(builder.name("body"), one.body);
    builder.text(builder.name("user"), "u");
  }
  return builder.finish();
}

std::vector<std::uint64_t> words_of(const std::string& clean) {
  std::vector<std::uint64_t> keys;
  for (std::size_t begin = 0; begin < clean.size();) {
    const std::size_t end = std::min(clean.find(' ', begin), clean.size());
    keys.push_back(schemas::hash_string_key("words", clean.substr(begin, end - begin)).value);
    begin = end + 1;
  }
  return keys;
}

std::uint64_t key_of(const std::string& number) {
  return schemas::hash_string_key("number", number).value;
}

/// A job on a log in memory.
struct simple_job {
  explicit simple_job(bool joins) : how(settings_of(job(joins), joins)) {
    auto opened = event_intake::open(
        std::make_unique<storage::memory_log>(), schema_of(how.source, joins), {}, {}, time);
    EXPECT_TRUE(opened.ok());
    intake = std::move(*opened);
    auto made = live_source::open(intake, schema_of(how.source, joins), how, {});
    EXPECT_TRUE(made.ok());
    source = std::move(*made);
  }
  std::vector<event> push_and_read(const std::vector<happened>& events) {
    EXPECT_EQ(push(*intake, batch_of_all(events)).accepted, events.size());
    std::vector<event> all;
    event found;
    while (*source->next(found)) all.push_back(found);
    return all;
  }

  manual_clock time;
  live_source::settings how;
  std::shared_ptr<event_intake> intake;
  std::unique_ptr<live_source> source;
};

TEST(LiveTexts, AreCleanWhereverTheyAreReadAndLeaveEventsOut) {
  simple_job job(false);
  const auto all = job.push_and_read({{"1", " It\t rained \xE2\x80\x8B. ", 1},
                                      {"2", "no", 2},
                                      {"3", "it  RAINED!", 3},
                                      {"4", "the sun shone", 4}});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].sequence_keys, words_of("It rained ."));
  EXPECT_EQ(all[1].sequence_keys, words_of("the sun shone"));
  EXPECT_EQ(all[1].keys[0], key_of("4"));
  EXPECT_EQ(all[1].values[1], 1.0F) << "what is left out feeds no window";
  EXPECT_EQ(all[1].row_number, 3U) << "but it is counted, as a row of a file is";
  EXPECT_EQ(job.source->position(), 4U);
  EXPECT_EQ(job.source->bad().count(bad_row::text_too_short), 1U);
  EXPECT_EQ(job.source->bad().count(bad_row::text_near_duplicate), 1U);
  const texts_figures told = job.how.of_texts->read();
  EXPECT_EQ(told.count, job.source->texts().count());
  EXPECT_EQ(told.count.taken, 2U);
  EXPECT_EQ(told.known, 2U);
}

TEST(LiveTexts, AnActionOfAnImpressionThatIsLeftOutFindsNone) {
  simple_job job(true);
  auto all = job.push_and_read({{"1", "it rained", 100},
                                {"2", "it rained", 101},
                                {"1", "", 102, true},
                                {"2", "", 103, true}});
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].keys[0], key_of("1"));
  EXPECT_EQ(all[0].label, 1.0F);
  all = job.push_and_read({{"3", "far ahead", 1'000}});
  EXPECT_TRUE(all.empty());
  const join_figures told = job.how.board->read();
  EXPECT_EQ(told.count.impressions, 2U);
  EXPECT_EQ(told.count.matched, 1U);
  EXPECT_EQ(told.count.expired_actions, 1U);
}

// Else an impression would wait for as long as nothing is taken.
TEST(LiveTexts, TimeGoesOnWhileEventsAreLeftOut) {
  simple_job job(true);
  EXPECT_TRUE(job.push_and_read({{"1", "it rained", 100}}).empty());
  std::vector<event> all;
  for (std::uint64_t i = 0; i < window_ms + 10 && all.empty(); ++i) {
    job.time.advance_ms(1);
    all = job.push_and_read({{"n" + std::to_string(i), "x", 100}});
  }
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].keys[0], key_of("1"));
}

std::string spelled(random_stream& random, const std::string& clean) {
  std::string made = random.next_below(3) == 0 ? "\t" : "";
  for (const char c : clean) {
    if (random.next_below(9) == 0) made += "\xC2\xAD";  // a soft hyphen
    made += c;
    if (c == ' ' && random.next_below(3) == 0) made += "\xE3\x80\x80";  // a wide space
  }
  return made;
}

constexpr const char* last_number = "1000000";

/// What is pushed, what must become of it, and what was read, by position.
class killed_job {
 public:
  killed_job(std::uint64_t seed, bool joins)
      : random_(seed), joins_(joins), how_(settings_of(job(joins), joins)) {
    how_.cut_file = folder_.path() / "cut";
    how_.cut_bytes = 1'500;
  }
  random_stream& random() { return random_; }
  void start() {
    source_.reset();
    intake_.reset();
    storage::segment_log::options log;
    log.folder = folder_.path() / "events";
    log.mode = schemas::log_mode::os;
    log.segment_bytes = 4'096;
    const auto cut = live_source::load_cut(how_.cut_file);
    ASSERT_TRUE(cut.ok()) << describe(cut.error());
    cuts_ += cut->texts.empty() || cut->samples == begun_at_ ? 0 : 1;
    begun_at_ = cut->samples;
    event_intake::settings how;
    how.idle_ms = 0;
    auto opened = event_intake::open(std::move(*storage::segment_log::open(log)),
                                     schema_of(how_.source, joins_),
                                     how,
                                     {cut->through, cut->partitions, cut->stamp_ms},
                                     time_);
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    intake_ = std::move(*opened);
    auto source = live_source::open(intake_, schema_of(how_.source, joins_), how_, *cut);
    ASSERT_TRUE(source.ok()) << describe(source.error());
    source_ = std::move(*source);
    const auto skipped = source_->skip(sealed_);
    ASSERT_TRUE(skipped.ok()) << describe(skipped.error());
  }
  void step() {
    const auto what = random_.next_below(10);
    if (what < 4) return push_some();
    if (what < 9) return read_one();
    sealed_ = source_->position();
    const auto told = source_->sealed(sealed_);
    ASSERT_TRUE(told.ok()) << describe(told.error());
  }
  void end() {
    add({last_number, "the very last", time_.now_ms() + 10'000});
    while (!at_end_) ASSERT_NO_FATAL_FAILURE(read_one());
  }
  void check() const {
    std::map<std::uint64_t, std::uint64_t> read;
    for (const auto& [position, one] : seen_) ++read[one.keys[0]];
    for (const auto& [number, clean] : expected_) {
      if (joins_ && number == last_number) continue;  // its window is open
      EXPECT_EQ(read[key_of(number)], clean ? 1U : 0U) << number;
    }
    const text_filter::counters told = how_.of_texts->read().count;
    const auto taken = static_cast<std::uint64_t>(
        std::ranges::count_if(expected_, [](const auto& one) { return one.second.has_value(); }));
    EXPECT_EQ(told.taken, taken);
    EXPECT_EQ(told.refused[static_cast<std::size_t>(text_fault::near_duplicate)], near_);
    EXPECT_GT(taken, 30U);
    EXPECT_GT(near_, 10U);
    if (joins_) {
      EXPECT_EQ(how_.board->read().count.impressions, taken);
    }
  }
  std::uint64_t cuts() const { return cuts_; }

 private:
  void push_some() {
    time_.advance_ms(1 + random_.next_below(5));
    std::vector<happened> events;
    for (auto left = 1 + random_.next_below(4); left > 0; --left) {
      const std::string number = std::to_string(pushed_++);
      const auto drawn = random_.next_below(20);
      const std::string clean =
          drawn == 0 ? "ab" : "text " + std::to_string(drawn) + " of many words";
      expect(number, clean);
      events.push_back({number, spelled(random_, clean), time_.now_ms()});
      if (joins_ && random_.next_below(3) == 0)
        events.push_back({number, "", time_.now_ms(), true});
    }
    ASSERT_EQ(push(*intake_, batch_of_all(events)).accepted, events.size());
  }
  void add(const happened& one) {
    expect(one.number, one.body);
    ASSERT_EQ(push(*intake_, batch_of_all({one})).accepted, 1U);
    at_end_ = false;
  }
  void expect(const std::string& number, const std::string& clean) {
    const bool known = std::ranges::find(known_, clean) != known_.end();
    const bool taken = clean.size() >= 3 && !known;
    near_ += known ? 1 : 0;
    expected_[number] = taken ? std::optional(clean) : std::nullopt;
    if (!taken) return;
    known_.push_back(clean);
    if (known_.size() > texts_known) known_.pop_front();
  }
  void read_one() {
    event found;
    const auto more = source_->next(found);
    ASSERT_TRUE(more.ok()) << describe(more.error());
    at_end_ = !*more;
    if (at_end_) return;
    const auto [first, is_new] = seen_.emplace(found.row_number, found);
    ASSERT_EQ(found.keys, first->second.keys) << "sample " << found.row_number;
    ASSERT_EQ(found.values, first->second.values);
    ASSERT_EQ(found.sequence_keys, first->second.sequence_keys);
    ASSERT_EQ(found.label, first->second.label);
  }

  random_stream random_;
  bool joins_;
  storage::temporary_folder folder_;
  manual_clock time_;
  live_source::settings how_;
  std::shared_ptr<event_intake> intake_;
  std::unique_ptr<live_source> source_;
  std::uint64_t pushed_ = 0;
  std::uint64_t sealed_ = 0;
  std::uint64_t begun_at_ = 0;
  std::uint64_t cuts_ = 0;
  std::uint64_t near_ = 0;
  bool at_end_ = false;
  std::deque<std::string> known_;
  std::map<std::string, std::optional<std::string>> expected_;  // clean, or left out
  std::map<std::uint64_t, event> seen_;
};

void kill_at_random(bool joins) {
  std::uint64_t cuts = 0;
  constexpr std::uint64_t seeds = 4;
  for (std::uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    killed_job job(seed, joins);
    for (int run = 0; run < 8; ++run) {
      ASSERT_NO_FATAL_FAILURE(job.start());
      for (auto steps = job.random().next_below(100); steps > 0; --steps)
        ASSERT_NO_FATAL_FAILURE(job.step());
    }
    ASSERT_NO_FATAL_FAILURE(job.end());
    job.check();
    cuts += job.cuts();
  }
  EXPECT_GT(cuts, seeds);  // else it would prove nothing
}

TEST(LiveTexts, LeaveTheSameEventsOutWhateverIsKilled) { kill_at_random(false); }
TEST(LiveTexts, LeaveTheSameImpressionsOutWhateverIsKilled) { kill_at_random(true); }

/// How many texts are known of an earlier run's one, under others.
result<std::uint64_t> go_on_with(bool joins, std::size_t shingle_words) {
  manual_clock time;
  live_source::settings how = settings_of(job(joins), joins);
  storage::temporary_folder folder;
  how.cut_file = folder.path() / "cut";
  const auto opened = [&](const stream_cut& from) {
    auto intake = event_intake::open(
        std::make_unique<storage::memory_log>(), schema_of(how.source, joins), {}, {}, time);
    EXPECT_TRUE(intake.ok());
    return live_source::open(std::move(*intake), schema_of(how.source, joins), how, from);
  };
  EXPECT_TRUE((*opened({}))->skip(0).ok());  // says who makes the samples
  stream_cut cut = *live_source::load_cut(how.cut_file);
  EXPECT_NE(cut.made_by, 0U);
  cut.through = lsn{1};
  text_filter known(how.source.texts);
  EXPECT_FALSE(known.judge(std::vector<std::string>{"it rained"}));
  cut.texts = known.save();
  if (joins) cut.joiner = *joiner(*how.join).save();
  how.source.texts[0].shingle_words = shingle_words;
  const auto made = opened(cut);
  if (!made) return made.error();
  return (*made)->texts().known();
}

TEST(LiveTexts, OthersBeginEmptyButNotUnderAJoinInWhichImpressionsMayWait) {
  const auto same = go_on_with(false, 3);
  ASSERT_TRUE(same.ok()) << describe(same.error());
  EXPECT_EQ(*same, 1U);
  const auto other = go_on_with(false, 2);
  ASSERT_TRUE(other.ok()) << describe(other.error());
  EXPECT_EQ(*other, 0U);
  EXPECT_TRUE(go_on_with(true, 3).ok());
  const auto joined = go_on_with(true, 2);
  ASSERT_FALSE(joined.ok());
  EXPECT_EQ(joined.error().code, errc::wrong_job);
  EXPECT_THAT(joined.error().detail, testing::HasSubstr("[texts]"));
}

}  // namespace
}  // namespace headrace::worker
