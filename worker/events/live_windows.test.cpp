#include "base/random.hpp"
#include "schemas/event.hpp"
#include "schemas/hash.hpp"
#include "storage/memory_log.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/events/live_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <future>
#include <malloc.h>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

/// Window features of live events, against a look through the whole log.
namespace headrace::worker {
namespace {

using measure = sliding_window::measure;

const std::vector<std::string> actions{"click", "buy"};

feature_spec id(const std::string& name) {
  feature_spec made;
  made.name = made.column = made.salt = name;
  return made;
}

feature_spec window(const std::string& name,
                    measure is,
                    std::uint64_t over_ms,
                    const std::string& on,
                    const std::string& column = "none") {
  feature_spec made = id(name);
  made.column = column;
  made.kind = is == measure::last ? feature_kind::ids : feature_kind::float_value;
  made.list_max = 3;
  made.window = sliding_window{is, over_ms, {"user"}, on, {}};
  return made;
}

source_spec job() {
  source_spec made;
  auto spent = window("spent", measure::sum, 90, "buy", "price");
  spent.window->where = label_spec{"price", label_spec::comparison::greater, 2.0, {}};
  made.features = {id("number"),
                   window("clicks", measure::count, 50, "click"),
                   spent,
                   window("seen", measure::last, 120, "", "item"),
                   window("rate", measure::rate, 60, "")};
  made.windows.out_of_order_ms = 20;
  return made;
}

event_schema schema() {
  auto bound = event_schema::bind(job(), actions);
  EXPECT_TRUE(bound.ok()) << (bound.ok() ? "" : describe(bound.error()));
  return std::move(*bound);
}

struct happened {
  std::string number;  // of an impression: which it is, and its key
  std::string action;
  std::uint64_t time_ms = 0;
  std::string user;  // none: empty
  std::string item;
  std::optional<double> price;
};

constexpr std::uint64_t join_window_ms = 40;
constexpr std::uint64_t join_out_of_order_ms = 30;

schemas::event_ack push(event_intake& intake, const std::vector<happened>& events) {
  static std::uint64_t ids = 0;
  schemas::event_batch_builder builder;
  builder.begin("test");
  for (const happened& one : events) {
    builder.event(std::to_string(++ids), "k" + one.number, one.time_ms);
    if (!one.action.empty()) builder.action(builder.name(one.action));
    builder.text(builder.name("number"), one.number);
    if (!one.user.empty()) builder.text(builder.name("user"), one.user);
    if (!one.item.empty()) builder.text(builder.name("item"), one.item);
    if (one.price) builder.number(builder.name("price"), *one.price);
  }
  std::promise<schemas::event_ack> answered;
  auto answer = answered.get_future();
  event_intake::request asked;
  asked.batch = builder.finish();
  asked.done = [&](schemas::event_ack ack) { answered.set_value(std::move(ack)); };
  intake.offer(std::move(asked));
  return answer.get();
}

/// What the features of an impression are, from everything that was pushed, in that order.
class offline_windows {
 public:
  void add(happened one) {
    newest_ = std::max(newest_, one.time_ms);
    const std::uint64_t watermark = newest_ - 20;
    if (!one.action.empty()) borrow(one);
    if (one.action.empty()) impressions_.emplace(one.number, one);
    count_lacking(one);
    if (one.action.empty()) expected_[one.number] = look(one, watermark);
    late_.push_back(one.time_ms < watermark);
    events_.push_back(one);
  }
  struct features {
    std::vector<float> values;
    std::vector<std::uint64_t> seen;
    bool late = false;  // its list may be shorter
  };
  const features& of(const std::string& number) const { return expected_.at(number); }
  // Of the windows clicks, spent, seen and rate.
  const std::vector<std::uint64_t>& lacking() const { return lacking_; }
  std::uint64_t borrowed() const { return borrowed_; }

 private:
  // What an action lacks it takes from its impression, while the join remembers that.
  void borrow(happened& action) {
    const auto found = impressions_.find(action.number);
    if (found == impressions_.end()) return;
    const happened& impression = found->second;
    if (impression.time_ms + join_window_ms < newest_ - join_out_of_order_ms) return;
    borrowed_ += action.user.empty() && !impression.user.empty() ? 1 : 0;
    if (action.user.empty()) action.user = impression.user;
    if (!action.price) action.price = impression.price;
  }
  void count_lacking(const happened& one) {
    const std::uint64_t no_user = one.user.empty() ? 1 : 0;
    if (one.action == "click") lacking_[0] += no_user;
    if (one.action == "buy") lacking_[1] += no_user == 1 || !one.price ? 1 : 0;
    if (!one.action.empty()) return;
    lacking_[2] += no_user == 1 || one.item.empty() ? 1 : 0;
    lacking_[3] += no_user;
  }
  features look(const happened& at, std::uint64_t watermark) const {
    if (at.user.empty()) return {{1.0F, 1.0F, 1.0F, 1.0F}, {}, false};  // each missing
    float clicks = 0.0F;
    float spent = 0.0F;  // whole numbers: in any order
    float shown = 0.0F;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
    const std::uint64_t now = std::max(at.time_ms, watermark);
    for (std::size_t i = 0; i < events_.size(); ++i) {
      const happened& one = events_[i];
      if (late_[i] || one.user != at.user || one.time_ms > at.time_ms) continue;
      const std::uint64_t ago = now - one.time_ms;
      if (one.action == "click" && ago < 50) clicks += 1.0F;
      if (one.action == "buy" && ago < 90 && one.price.value_or(0.0) > 2.0)
        spent += static_cast<float>(*one.price);
      if (!one.action.empty()) continue;
      if (ago < 60) shown += 1.0F;
      if (ago < 120 && !one.item.empty())
        seen.emplace_back(one.time_ms, schemas::hash_string_key("seen", one.item).value);
    }
    std::ranges::stable_sort(seen, {}, &std::pair<std::uint64_t, std::uint64_t>::first);
    if (seen.size() > 3) seen.erase(seen.begin(), seen.end() - 3);
    features made;
    made.values = {1.0F, clicks, spent, static_cast<float>(shown * 1'000.0 / 60.0)};
    for (const auto& one : seen) made.seen.push_back(one.second);
    made.late = at.time_ms < watermark;
    return made;
  }
  std::vector<happened> events_;
  std::vector<bool> late_;
  std::map<std::string, happened> impressions_;
  std::vector<std::uint64_t> lacking_ = std::vector<std::uint64_t>(4, 0);
  std::uint64_t borrowed_ = 0;
  std::uint64_t newest_ = 0;
  std::map<std::string, features> expected_;
};

/// A job that joins, killed and started again at any moment.
class killed_job {
 public:
  explicit killed_job(std::uint64_t seed) : random_(seed) {
    how_.cut_file = folder_.path() / "cut";
    how_.cut_bytes = 3'000;
    how_.source = job();
    join_spec join;
    join.window_ms = join_window_ms;
    join.out_of_order_ms = join_out_of_order_ms;
    join.actions = 2;
    how_.join = join;
  }

  void start() {
    source_.reset();
    intake_.reset();
    storage::segment_log::options log;
    log.folder = folder_.path() / "events";
    log.mode = schemas::log_mode::os;
    log.segment_bytes = 4'096;
    auto cut = live_source::load_cut(how_.cut_file);
    ASSERT_TRUE(cut.ok());
    cuts_ += cut->windows.empty() ? 0 : 1;
    event_intake::settings how;
    how.idle_ms = 0;
    auto opened = event_intake::open(std::move(*storage::segment_log::open(log)),
                                     schema(),
                                     how,
                                     {cut->through, cut->partitions},
                                     time_);
    ASSERT_TRUE(opened.ok());
    intake_ = std::move(*opened);
    auto source = live_source::open(intake_, schema(), how_, *cut);
    ASSERT_TRUE(source.ok()) << describe(source.error());
    source_ = std::move(*source);
    ASSERT_TRUE(source_->skip(sealed_).ok());
  }

  void step() {
    const auto what = random_.next_below(10);
    if (what < 4) return push_some();
    if (what < 9) return read_one();
    sealed_ = source_->position();
    ASSERT_TRUE(source_->sealed(sealed_).ok());
  }

  void read_rest() {
    for (std::uint64_t before = 0; before != read_;) {
      before = read_;
      for (int i = 0; i < 1'000; ++i) read_one();
    }
  }

  // Once all is read.
  void check_counts() const {
    std::vector<window_figures> now;
    source_->windows().look(now);
    std::vector<std::uint64_t> lacking;
    for (const window_figures& one : now) lacking.push_back(one.lacking);
    EXPECT_EQ(lacking, expected_.lacking());
  }

  std::uint64_t borrowed() const { return expected_.borrowed(); }
  std::uint64_t read() const { return read_; }
  std::uint64_t cuts() const { return cuts_; }
  std::uint64_t clicks() const { return clicks_; }
  random_stream& random() { return random_; }

 private:
  void push_some() {
    time_.advance_ms(1 + random_.next_below(random_.next_below(30) == 0 ? 300 : 8));
    std::vector<happened> batch;
    for (auto events = 1 + random_.next_below(5); events > 0; --events) {
      happened one;
      one.number = std::to_string(numbers_++);
      one.time_ms = time_.now_ms() - random_.next_below(random_.next_below(8) == 0 ? 60 : 15);
      one.user = random_.next_below(12) == 0 ? "" : "u" + std::to_string(random_.next_below(3));
      one.item = random_.next_below(8) == 0 ? "" : "i" + std::to_string(random_.next_below(9));
      if (random_.next_below(8) != 0) one.price = static_cast<double>(random_.next_below(6));
      if (random_.next_below(2) == 0) {
        batch.push_back(one);
        continue;
      }
      const happened came_of_it = action_of(one);
      const auto when = random_.next_below(8);
      if (when == 0) batch.push_back(came_of_it);  // before its impression
      batch.push_back(one);
      if (when > 2) batch.push_back(came_of_it);
      if (when == 1 || when == 2) later_.push_back(came_of_it);
    }
    while (!later_.empty() && random_.next_below(3) == 0) {
      happened one = later_.front();
      later_.pop_front();
      one.time_ms = std::max(one.time_ms, time_.now_ms() - random_.next_below(15));
      batch.push_back(one);
    }
    ASSERT_EQ(push(*intake_, batch).accepted, batch.size());
    for (const happened& one : batch) {
      expected_.add(one);
      if (one.action.empty())
        names_[schemas::hash_string_key("number", one.number).value] = one.number;
    }
  }

  // Brings its own columns, others, or none.
  happened action_of(happened one) {
    one.action = actions[random_.next_below(2)];
    one.time_ms += random_.next_below(10);
    if (random_.next_below(2) == 0) one.user.clear();
    if (random_.next_below(8) == 0) one.user = "u" + std::to_string(random_.next_below(3));
    if (random_.next_below(2) == 0) one.price.reset();
    return one;
  }

  void read_one() {
    event found;
    auto more = source_->next(found);
    ASSERT_TRUE(more.ok());
    if (!*more) return;
    ++read_;
    const auto& number = names_.at(found.keys.at(0));
    const auto& wanted = expected_.of(number);
    ASSERT_EQ(found.values, wanted.values) << "impression " << number;
    if (!wanted.late) {
      ASSERT_EQ(found.sequence_keys, wanted.seen) << "impression " << number;
    }
    if (found.values[1] > 0.0F) ++clicks_;
    const auto [known, added] = order_.emplace(found.row_number, number);
    ASSERT_EQ(known->second, number) << "another sample at " << found.row_number;
  }

  random_stream random_;
  storage::temporary_folder folder_;
  manual_clock time_;
  live_source::settings how_;
  std::shared_ptr<event_intake> intake_;
  std::unique_ptr<live_source> source_;
  offline_windows expected_;
  std::map<std::uint64_t, std::string> names_;
  std::map<std::uint64_t, std::string> order_;
  std::deque<happened> later_;
  std::uint64_t sealed_ = 0;
  std::uint64_t numbers_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t cuts_ = 0;
  std::uint64_t clicks_ = 0;
};

// A seed here is as much work as fifty worlds of the simulation, which HEADRACE_SEEDS counts.
std::uint64_t seeds() {
  const char* worlds = std::getenv("HEADRACE_SEEDS");
  return worlds == nullptr ? 8 : std::max(1ULL, std::strtoull(worlds, nullptr, 10) / 50);
}

TEST(LiveWindows, AreTheSameWhateverIsKilled) {
  std::uint64_t cuts = 0;
  std::uint64_t clicks = 0;
  std::uint64_t borrowed = 0;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    killed_job job(seed);
    for (int run = 0; run < 10; ++run) {
      ASSERT_NO_FATAL_FAILURE(job.start());
      for (auto steps = job.random().next_below(120); steps > 0; --steps)
        ASSERT_NO_FATAL_FAILURE(job.step());
    }
    ASSERT_NO_FATAL_FAILURE(job.read_rest());
    ASSERT_NO_FATAL_FAILURE(job.check_counts());
    EXPECT_GT(job.read(), 50U);
    borrowed += job.borrowed();
    cuts += job.cuts();
    clicks += job.clicks();
  }
  EXPECT_GT(cuts, 2 * seeds());  // else it would prove nothing
  EXPECT_GT(clicks, 10 * seeds());
  EXPECT_GT(borrowed, 20 * seeds());
}

/// A job that joins, on a log in memory.
struct simple_job {
  explicit simple_job(live_source::settings settings = {}) : how(std::move(settings)) {
    how.cut_file = folder.path() / "cut";
    how.source = job();
    how.of_windows = std::make_shared<window_board>();
    if (!how.join) how.join.emplace();
    how.join->window_ms = join_window_ms;
    how.join->actions = 2;
    auto opened =
        event_intake::open(std::make_unique<storage::memory_log>(), schema(), {}, {}, time);
    EXPECT_TRUE(opened.ok());
    intake = std::move(*opened);
    auto made = live_source::open(intake, schema(), how, {});
    EXPECT_TRUE(made.ok());
    source = std::move(*made);
  }
  void read() {
    event found;
    while (*source->next(found)) continue;
  }

  storage::temporary_folder folder;
  manual_clock time;
  live_source::settings how;
  std::shared_ptr<event_intake> intake;
  std::unique_ptr<live_source> source;
};

TEST(LiveWindows, TellHowManyImpressionsWereForgottenForWantOfRoom) {
  live_source::settings how;
  how.join.emplace();
  how.join->pending_max = 2;
  simple_job job(how);
  for (const char* number : {"1", "2", "3"})
    ASSERT_EQ(push(*job.intake, {{number, "", 100, "u1", "i1", 3.0}}).accepted, 1U);
  job.read();
  const windows_figures told = job.how.of_windows->read();
  EXPECT_EQ(told.each.size(), 4U);
  ASSERT_TRUE(told.impressions);
  EXPECT_EQ(told.impressions->kept, 2U);
  EXPECT_EQ(told.impressions->bytes, job.source->windows().impressions().bytes());
  EXPECT_EQ(told.impressions->forgotten, 1U);
}

// Of this process, by the allocator; 0 where another one stands in front of it (a sanitizer's).
std::size_t allocated_bytes() {
  const auto now = [] {
    const struct mallinfo2 all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
  };
  constexpr std::size_t probe = std::size_t{1} << 20;
  const std::size_t before = now();
  const std::vector<char> taken(probe, 'x');
  return now() >= before + probe ? before : 0;
}

TEST(LiveWindows, AreNotKeptInMemoryOnceTheirCutIsOnTheDisk) {
  if (allocated_bytes() == 0) GTEST_SKIP() << "a sanitizer's own allocator";
  live_source::settings how;
  how.cut_bytes = 1;
  simple_job job(how);
  constexpr std::size_t impressions = 64;
  constexpr std::size_t user_bytes = 60'000;
  std::vector<happened> all;
  for (std::size_t i = 0; i < impressions; ++i)
    all.push_back({std::to_string(i), "", 100, std::string(user_bytes, 'u'), "i1", 3.0});
  ASSERT_EQ(push(*job.intake, all).accepted, impressions);
  job.read();
  const std::size_t with_cut = allocated_bytes();
  ASSERT_TRUE(job.source->sealed(job.source->position()).ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto is_gone = [&] {
    return std::filesystem::exists(job.how.cut_file) &&
           allocated_bytes() + impressions * user_bytes / 2 < with_cut;
  };
  while (!is_gone() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(is_gone());
}

/// Of one event, with these columns as texts.
std::optional<event_schema::problem> check(const std::string& action,
                                           const std::vector<std::string>& lists,
                                           const std::vector<std::string>& texts) {
  schemas::event_batch_builder builder;
  builder.begin("test");
  builder.event("1", "k", 1);
  if (!action.empty()) builder.action(builder.name(action));
  const std::vector<std::string_view> list{"a", "b"};
  for (const std::string& column : lists) builder.texts(builder.name(column), list);
  for (const std::string& column : texts) builder.text(builder.name(column), "cheap");
  schemas::event_batch batch;
  EXPECT_TRUE(schemas::decode_event_batch(builder.finish(), batch).ok());
  const event_schema to = schema();
  return to.check(batch, to.look_up(batch), 0);
}

TEST(LiveWindows, TakeOnlyWhatCanBeCounted) {
  EXPECT_FALSE(check("", {}, {"user", "item"}));
  const auto list = check("", {"user"}, {});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->fault, schemas::event_fault::wrong_type);
  EXPECT_EQ(list->detail, "user: a text or an integer is needed, this is a list of 2");
  EXPECT_FALSE(check("", {}, {"price"})) << "an impression does not feed the sum";
  const auto cheap = check("buy", {}, {"user", "price"});
  ASSERT_TRUE(cheap);
  EXPECT_EQ(cheap->detail, "price: a finite number is needed, this is the text 'cheap'");
  EXPECT_FALSE(check("click", {}, {"user", "price"}));
  EXPECT_TRUE(check("click", {"user"}, {}));
}

// The windows of `job` that actions feed: clicks, and spent.
std::vector<window_input> action_of(const std::string& action,
                                    const std::vector<std::string>& own,
                                    const std::vector<std::string>& of_impression,
                                    std::string_view price = "4") {
  schemas::event_batch_builder builder;
  builder.begin("test");
  const auto add = [&](const std::string& column) {
    builder.text(builder.name(column), column == "price" ? price : std::string_view("u7"));
  };
  builder.event("1", "k", 1);
  for (const std::string& column : of_impression) add(column);
  builder.event("2", "k", 1);
  builder.action(builder.name(action));
  for (const std::string& column : own) add(column);
  schemas::event_batch batch;
  EXPECT_TRUE(schemas::decode_event_batch(builder.finish(), batch).ok());
  const event_schema to = schema();
  const auto names = to.look_up(batch);
  EXPECT_FALSE(to.check(batch, names, 0));
  EXPECT_FALSE(to.check(batch, names, 1));
  std::vector<std::byte> kept;
  to.keep_columns(batch, names, 0, kept);
  std::vector<window_input> made;
  to.parse_action(batch, names, 1, kept, made);
  return {made[0], made[1]};
}

TEST(LiveWindows, TakeOfAnImpressionWhatItsActionLacks) {
  const auto own = action_of("buy", {"user", "price"}, {});
  ASSERT_TRUE(own[1].feeds);
  EXPECT_EQ(std::bit_cast<double>(own[1].value), 4.0);
  for (const auto& lent : {action_of("buy", {}, {"price", "user"}),
                           action_of("buy", {"user"}, {"price"}),
                           action_of("buy", {"price"}, {"user", "item"})}) {
    EXPECT_TRUE(lent[1].feeds);
    EXPECT_FALSE(lent[1].lacks);
    EXPECT_EQ(lent[1].key, own[1].key);
    EXPECT_EQ(lent[1].value, own[1].value);
    EXPECT_FALSE(lent[0].feeds) << "a purchase is no click";
    EXPECT_FALSE(lent[0].lacks);
  }
  EXPECT_TRUE(action_of("buy", {"price"}, {"item"})[1].lacks);
  EXPECT_TRUE(action_of("buy", {"user"}, {"item"})[1].lacks);
  EXPECT_FALSE(action_of("buy", {"user"}, {"price"}, "1")[1].lacks) << "it does not hold";
  const auto cheap = action_of("buy", {"user"}, {"price"}, "cheap");
  EXPECT_TRUE(cheap[1].lacks) << "of an impression it is not checked, and no number";
  EXPECT_FALSE(cheap[1].feeds);
}

TEST(LiveWindows, NeedAnActionOfTheJoin) {
  const auto bound = event_schema::bind(job(), {"click"});
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.error().detail, "feature 'spent' is fed by 'buy', which is no action");
}

}  // namespace
}  // namespace headrace::worker
