#include "cli/pages/report.hpp"

#include "cli/pages/html_text.hpp"
#include "cli/pages/svg_chart.hpp"
#include "storage/file_io.hpp"
#include "storage/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// ---- a page to look at

run_result some_run() {
  run_result r;
  r.job = "movielens";
  r.data = "MovieLens-100K";
  r.state = "/state/demo-1";
  r.log_mode = "os";
  r.seconds = 20;
  r.samples_this_run = 100'000;
  r.push_bytes_this_run = 7'120'000;
  r.rows = 2'625;
  r.table_bytes = 312'000;
  r.memory_bytes = 12'300'000;
  auto& f = r.figures;
  f.samples = 100'000;
  f.batches = 25'013;
  f.auc = 0.75611;
  f.logloss = 0.57912;
  f.second_half_samples = f.frozen_second_half_samples = f.tail_samples = 50'000;
  f.auc_second_half = f.auc_tail = 0.77063;
  f.auc_frozen_second_half = f.auc_frozen = 0.70041;
  f.logloss_tail = 0.56271;
  f.logloss_frozen = 0.63124;
  return r;
}

// One point a second of an even stream that freezes at half.
std::vector<series_point> some_points(std::size_t count) {
  std::vector<series_point> points;
  for (std::size_t i = 1; i <= count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    series_point p;
    p.seconds = static_cast<double>(i);
    p.samples = static_cast<std::uint64_t>(100'000 * share);
    p.samples_per_second = 5'000;
    p.auc = p.auc_recent = 0.70 + 0.07 * share;
    p.logloss = 0.65 - 0.07 * share;
    if (share > 0.5) {
      p.auc_tail = 0.77;
      p.auc_frozen = 0.72 - 0.02 * share;
    }
    p.rows = static_cast<std::uint64_t>(2'625 * share);
    p.push_bytes_per_sample = 71.2;
    p.memory_bytes = 12'300'000;
    points.push_back(p);
  }
  return points;
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++found;
  return found;
}

/// The first thing that is not well-formed as XML, or nothing: tags balance, attributes are quoted
/// and unique, every & begins a reference.
std::optional<std::string> malformed(std::string_view page) {
  std::vector<std::string> open;
  std::size_t at = 0;
  while (at < page.size()) {
    const auto near = [&] { return std::string(page.substr(at, 60)); };
    if (page[at] == '&') {
      const auto end = page.find(';', at);
      if (end == page.npos || end - at > 8) return "bare & at: " + near();
      at = end + 1;
      continue;
    }
    if (page[at] == '>') return "bare > at: " + near();
    if (page[at] != '<') {
      ++at;
      continue;
    }
    const auto end = page.find('>', at);
    if (end == page.npos) return "open < at: " + near();
    std::string_view tag = page.substr(at + 1, end - at - 1);
    if (tag.find('<') != tag.npos) return "< inside a tag at: " + near();
    if (count_of(tag, "\"") % 2 != 0) return "open quote at: " + near();
    std::size_t equals = 0;
    bool quoted = false;
    for (const char c : tag) {
      quoted ^= c == '"';
      equals += c == '=' && !quoted;
    }
    if (equals * 2 != count_of(tag, "\"")) return "attribute without quotes at: " + near();
    const bool alone = tag.ends_with('/');
    const std::string name(tag.substr(0, tag.find_first_of(" /", 1)));
    if (name.starts_with('/')) {
      if (open.empty() || "/" + open.back() != name) return "</> does not close at: " + near();
      open.pop_back();
    } else if (!alone && !name.starts_with('!')) {
      open.push_back(name);
    }
    at = end + 1;
    if (name == "style") at = page.find("</style>", at);
  }
  if (!open.empty()) return "never closed: " + open.back();
  return std::nullopt;
}

TEST(Report, ShowsTheFiguresAsPeopleReadThem) {
  const std::string page = report_html(some_run(), some_points(20));
  for (const char* figure : {"movielens",
                             "MovieLens-100K",
                             "0.7706",
                             "0.7004",
                             "+0.0702",
                             "0.5791",
                             "0.5627",
                             "0.6312",
                             "100,000",
                             "5,000",
                             "2,625",
                             "71.2 B",
                             "12.3 MB",
                             "312 kB",
                             "25,013",
                             "/state/demo-1",
                             "survives <code>kill -9</code>, not a power cut"}) {
    EXPECT_THAT(page, HasSubstr(figure));
  }
}

TEST(Report, FetchesNothingAndRunsNothing) {
  const std::string page = report_html(some_run(), some_points(20));
  for (const char* never : {"http://",
                            "https://",
                            "<script",
                            "url(",
                            "@import",
                            "src=",
                            "<iframe",
                            "onload",
                            "onclick"}) {
    EXPECT_THAT(page, Not(HasSubstr(never)));
  }
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(Report, FitsAPhoneDarkRoomsAndPaper) {
  EXPECT_THAT(report_html(some_run(), some_points(20)),
              AllOf(HasSubstr("width=device-width"),
                    HasSubstr("prefers-color-scheme: dark"),
                    HasSubstr("@media print")));
}

TEST(Report, EscapesEveryTextItIsGiven) {
  const std::string attack = "\"'><script>alert(1)</script>&amp;<img src=x onerror=alert(1)>";
  auto r = some_run();
  r.job = r.data = r.state = r.log_mode = r.figures.bad_row_reasons = r.figures.first_bad_row =
      attack;
  r.figures.bad_rows = 3;
  r.notes = {attack};
  const std::string page = report_html(r, some_points(20));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_GE(count_of(page, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"),
            7U);  // job twice: title and heading
  EXPECT_EQ(malformed(page), std::nullopt);
}

run_result run_of_two_labels() {
  run_result r = some_run();
  r.figures.heads = {{"click", 0.3, 0.75611, 0.57912, 1.01, 0.77063, 0.56271, 0.70041, 0.63124},
                     {"<buy>", 0.07, 0.81234, 0.21, 0.97, 0.82345, 0.2, 0.79012, 0.22}};
  return r;
}

TEST(Report, HasARowForEachLabelWhereThereAreSeveral) {
  const std::string page = report_html(run_of_two_labels(), some_points(20));
  EXPECT_EQ(malformed(page), std::nullopt);
  EXPECT_THAT(page, HasSubstr("Each label"));
  EXPECT_THAT(
      page,
      HasSubstr("<tr><th scope=\"row\">&lt;buy&gt;</th><td>7.00</td><td>0.8123</td><td>0.2100"
                "</td><td>0.970</td><td>0.8235</td><td>0.7901</td></tr>"));
  EXPECT_THAT(report_html(some_run(), some_points(20)), Not(HasSubstr("Each label")));
}

TEST(RunResult, ListsLabelsOnlyWhereThereAreSeveral) {
  const std::string one = to_json(some_run());
  const std::string two = to_json(run_of_two_labels());
  EXPECT_THAT(one, Not(HasSubstr("heads")));
  EXPECT_THAT(two,
              HasSubstr("\"heads\":[{\"label\":\"click\",\"positive_share\":0.3,\"auc\":0.75611,"
                        "\"logloss\":0.57912,\"calibration\":1.01,\"auc_after_freeze\":0.77063,"
                        "\"auc_frozen_after_freeze\":0.70041,\"logloss_after_freeze\":0.56271,"
                        "\"logloss_frozen_after_freeze\":0.63124},{\"label\":\"<buy>\","));
  // What a program reads of a run with one label is where it was.
  EXPECT_EQ(one.substr(0, one.find("\"notes\"")), two.substr(0, two.find("\"heads\"")));
  EXPECT_THAT(
      to_summary(run_of_two_labels()),
      HasSubstr("  AUC 0.8123   logloss 0.2100   calibration 0.970   after 50 % 0.8235, twin "
                "0.7901   <buy>\n"));
  EXPECT_THAT(to_summary(some_run()), Not(HasSubstr("calibration")));
}

TEST(Report, IsWellFormedForAnySeries) {
  for (const std::size_t count : {0, 1, 2, 3, 399, 400, 401, 10'000}) {
    EXPECT_EQ(malformed(report_html(some_run(), some_points(count))), std::nullopt)
        << count << " points";
    EXPECT_EQ(malformed(report_html(run_result{}, some_points(count))), std::nullopt)
        << count << " points, no figures";
  }
}

TEST(Report, ChecksWellFormednessWithACheckThatCanFail) {
  for (const char* bad :
       {"<p>", "<p></q>", "<p class=a></p>", "<p>a & b</p>", "<p title=\"<\"></p>", "a > b"}) {
    EXPECT_NE(malformed(bad), std::nullopt) << bad;
  }
}

TEST(Report, NeverPrintsANumberThatIsNone) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  const std::vector<double> hard = {
      nan, infinity, -infinity, 0.0, -0.0, -1.0, 0.5, 1e300, -1e300, 5e-324, 1e19};
  const auto pick = [&] { return hard[random() % hard.size()]; };
  for (int round = 0; round < 60; ++round) {
    auto points = some_points(random() % 500);
    for (auto& p : points) {
      if (random() % 3 != 0) continue;
      p.seconds = random() % 4 == 0 ? pick() : p.seconds;
      p.samples_per_second = pick();
      p.auc = p.auc_recent = p.logloss = p.push_bytes_per_sample = pick();
      p.auc_tail = random() % 2 ? std::optional(pick()) : std::nullopt;
      p.auc_frozen = pick();
      p.rows = p.memory_bytes = p.staleness = std::numeric_limits<std::uint64_t>::max();
    }
    auto r = some_run();
    r.seconds = r.figures.auc = r.figures.logloss = r.figures.auc_tail = pick();
    const std::string page = report_html(r, points);
    ASSERT_EQ(malformed(page), std::nullopt) << "seed " << seed << " round " << round;
    for (const char* none : {">nan", ">inf", "\"nan", " nan", "-nan", "\"inf", " inf", "-inf"}) {
      ASSERT_THAT(page, Not(HasSubstr(none))) << "seed " << seed << " round " << round;
    }
  }
}

TEST(Report, DescribesEveryChartInWords) {
  const std::string page = report_html(some_run(), some_points(20));
  EXPECT_EQ(count_of(page, "role=\"img\""), 8U);  // AUC for wide and narrow screens, six small ones
  EXPECT_EQ(count_of(page, "<desc>"), 8U);
  for (const char* name : {"AUC over time",
                           "Logloss",
                           "Throughput",
                           "Rows",
                           "Pushed to the shards",
                           "Memory",
                           "Staleness"}) {
    EXPECT_THAT(page, HasSubstr("aria-label=\"" + std::string(name) + "\""));
  }
  EXPECT_THAT(
      page, HasSubstr("Frozen twin, since the freeze: from 0.7090 at 11.0 s to 0.7000 at 20.0 s"));
}

TEST(Report, MarksTheMomentOfTheFreezeBetweenTwoPoints) {
  auto r = some_run();
  r.figures.tail_samples =
      47'500;  // frozen at 52,500 samples: halfway between the points at 10 s and 11 s
  EXPECT_THAT(report_html(r, some_points(20)), HasSubstr("Marked at 10.5 s: frozen at 50 %."));
}

TEST(Report, SaysWhyThereIsNoTwinToCompareWith) {
  auto r = some_run();
  r.figures.tail_samples = r.figures.frozen_second_half_samples = 0;
  r.freeze_at = 0.625;
  auto points = some_points(20);
  for (auto& p : points) p.auc_tail = p.auc_frozen = std::nullopt;
  const std::string page = report_html(r, points);
  EXPECT_THAT(page,
              HasSubstr("There is no frozen twin to compare with: the stream ended before 62.5 %"));
  EXPECT_THAT(page, Not(HasSubstr("frozen at")));
  EXPECT_THAT(page, HasSubstr("Online, since the start"));
}

TEST(Report, SaysSoWhenLearningOnWasOfNoUse) {
  auto r = some_run();
  r.figures.auc_tail = 0.5012;
  r.figures.auc_frozen = 0.5031;
  EXPECT_THAT(report_html(r, some_points(20)), HasSubstr("<dd>−0.0019</dd>"));
}

TEST(Report, ComparesSecondHalvesOnlyWhereTheyAreNotTheFreeze) {
  auto r = some_run();
  EXPECT_THAT(report_html(r, {}), Not(HasSubstr("Online, second half")));
  r.figures.tail_samples = r.figures.frozen_second_half_samples = 25'000;
  EXPECT_THAT(report_html(r, {}),
              AllOf(HasSubstr("Online, second half"), HasSubstr("Frozen twin, second half")));
}

TEST(Report, TellsAResumedOrInterruptedRunFromAWholeOne) {
  auto r = some_run();
  const std::string whole = report_html(r, some_points(20));
  EXPECT_THAT(
      whole,
      AllOf(Not(HasSubstr("Resumed")), Not(HasSubstr("Stopped early")), Not(HasSubstr("Paced"))));
  r.resumed = r.interrupted = r.paced = true;
  r.figures.batches_missed = 2;
  EXPECT_THAT(report_html(r, some_points(20)),
              AllOf(HasSubstr("Resumed: figures cover all its runs"),
                    HasSubstr("Stopped early"),
                    HasSubstr("Paced"),
                    HasSubstr("2 more learned before a kill")));
}

TEST(Report, SaysThatThereIsNothingWhereNoPointWasTaken) {
  const std::string page = report_html(run_result{}, {});
  EXPECT_EQ(count_of(page, "role=\"img\""), 0U);
  EXPECT_THAT(page,
              AllOf(HasSubstr("No value was taken"), HasSubstr("this run learned nothing new")));
}

TEST(Report, GivesTheLastValuesAsATable) {
  const std::string page = report_html(some_run(), some_points(10'000));
  EXPECT_THAT(page, HasSubstr("14 of 10,000 points"));
  const auto last = page.rfind("<tr>");
  EXPECT_THAT(
      page.substr(last, page.find("</tr>", last) - last),
      AllOf(HasSubstr("2 h 46 min"), HasSubstr("<td>100,000</td>"), HasSubstr("<td>0.7000</td>")));
}

TEST(Report, StaysSmallHoweverLongTheRun) {
  EXPECT_LT(report_html(some_run(), some_points(100'000)).size(), 400'000U);
}

TEST(Report, LeavesOutPointsWhoseTimeGoesBack) {
  auto points = some_points(20);
  points[7].seconds = 3;
  auto without = some_points(20);
  without.erase(without.begin() + 7);
  EXPECT_EQ(report_html(some_run(), points), report_html(some_run(), without));
}

TEST(Report, IsWrittenWholeAndReplacesTheLastOne) {
  const storage::temporary_folder folder;
  const auto file = folder.path() / "report.html";
  ASSERT_TRUE(storage::replace_file(file, "the last one"));
  ASSERT_TRUE(write_report(file, some_run(), some_points(3)));
  const auto text = storage::read_text(file);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, report_html(some_run(), some_points(3)));
  EXPECT_FALSE(write_report(folder.path() / "no" / "such" / "report.html", some_run(), {}));
}

// ---- its parts

TEST(SvgChart, ChoosesRoundTicks) {
  EXPECT_THAT(round_ticks(0, 20, 4), ElementsAre(0, 5, 10, 15, 20));
  EXPECT_THAT(round_ticks(-1, 1, 4), ElementsAre(-1, -0.5, 0, 0.5, 1));
  EXPECT_THAT(round_ticks(0, 1e19, 2), ElementsAre(0, 5e18, 1e19));
  EXPECT_TRUE(round_ticks(1, 1, 4).empty());
  EXPECT_TRUE(round_ticks(0, nan, 4).empty());
}

TEST(SvgChart, SummarizesWithoutLosingAnExtreme) {
  std::vector<chart_point> points;
  for (int i = 0; i < 10'000; ++i)
    points.push_back({static_cast<double>(i), i == 6'543 ? 99.0 : i == 1'234 ? -5.0 : 1.0});
  const auto stretches = summarize(points, 400);
  ASSERT_EQ(stretches.size(), 400U);
  EXPECT_EQ(stretches.front().x, 0);
  EXPECT_EQ(stretches.back().x, 9'999);
  double low = 0;
  double high = 0;
  for (const auto& s : stretches) {
    low = std::min(low, s.low);
    high = std::max(high, s.high);
    EXPECT_TRUE(s.low <= s.mean && s.mean <= s.high);
  }
  EXPECT_EQ(low, -5);
  EXPECT_EQ(high, 99);
}

TEST(SvgChart, SummarizesFewPointsAsThemselves) {
  for (const std::size_t count : {0, 1, 2, 3, 4, 5}) {
    std::vector<chart_point> points;
    for (std::size_t i = 0; i < count; ++i)
      points.push_back({static_cast<double>(i), static_cast<double>(i * i)});
    const auto stretches = summarize(points, 400);
    ASSERT_EQ(stretches.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(stretches[i].x, points[i].x);
      EXPECT_EQ(stretches[i].mean, points[i].y);
    }
  }
}

TEST(SvgChart, LiftsThePenAtAGap) {
  chart what{.title = "t", .y_label = "y"};
  what.lines.push_back({"a", "", line_look::strong, {{0, 1}, {1, 2}, {2, nan}, {3, 4}, {4, 5}}});
  const std::string svg = svg_chart(what, {});
  const auto line = svg.find("class=\"line strong\" d=\"");
  ASSERT_NE(line, svg.npos);
  const auto path = svg.substr(line + 22, svg.find("\"/>", line) - line - 22);
  EXPECT_EQ(count_of(path, "M"), 2U) << path;
  EXPECT_EQ(count_of(path, "L"), 2U) << path;
}

TEST(SvgChart, ShowsNoFractionsOfWholeThings) {
  chart what{.title = "t", .y_label = "versions", .whole_values = true};
  what.lines.push_back({"a", "", line_look::strong, {{0, 0}, {50, 0}}});
  const std::string svg = svg_chart(what, {});
  EXPECT_THAT(svg, HasSubstr(">1</text>"));
  EXPECT_THAT(svg, Not(HasSubstr(">0.0</text>")));
  EXPECT_THAT(svg, Not(HasSubstr(">0.5</text>")));
}

TEST(HtmlText, EscapesMarkup) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
}

TEST(HtmlText, ReplacesWhatNoPageMayHold) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html("é – 日本 🌊\n\t"), "é – 日本 🌊\n\t");
  EXPECT_EQ(escape_html(std::string_view("a\0b\x1b", 4)), "a" + bad + "b" + bad);
  EXPECT_EQ(escape_html("\xC3"), bad);                      // cut off
  EXPECT_EQ(escape_html("\xC0\xAF"), bad + bad);            // overlong
  EXPECT_EQ(escape_html("\xED\xA0\x80"), bad + bad + bad);  // half a surrogate pair
  EXPECT_EQ(escape_html("\xF5<"),
            bad + "&lt;");  // beyond Unicode, and what follows is still escaped
}

TEST(HtmlText, WritesNumbersForPeople) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1'234'567), "1,234,567");
  EXPECT_EQ(with_commas(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
  EXPECT_EQ(whole(4'999.6), "5,000");
  EXPECT_EQ(whole(-0.2), "0");
  EXPECT_EQ(whole(-3.2), "−3");
  EXPECT_EQ(whole(nan), "–");
  EXPECT_EQ(fixed(-0.00001, 4), "0.0000");
  EXPECT_EQ(fixed(-0.07, 4), "−0.0700");
  EXPECT_EQ(fixed(infinity, 4), "–");
  EXPECT_EQ(compact(950), "950");
  EXPECT_EQ(compact(999.7), "1k");
  EXPECT_EQ(compact(1'500), "1.5k");
  EXPECT_EQ(compact(20e6), "20M");
}

TEST(HtmlText, WritesBytesAndTimesForPeople) {
  EXPECT_EQ(people_bytes(0), "0 B");
  EXPECT_EQ(people_bytes(71.2), "71.2 B");
  EXPECT_EQ(people_bytes(999.4), "999 B");
  EXPECT_EQ(people_bytes(999.6), "1.00 kB");
  EXPECT_EQ(people_bytes(12'300'000), "12.3 MB");
  EXPECT_EQ(people_bytes(1.8e19), "18000 PB");
  EXPECT_EQ(people_duration(0.25), "0.25 s");
  EXPECT_EQ(people_duration(20.14), "20.1 s");
  EXPECT_EQ(people_duration(99.96), "1 min 40 s");
  EXPECT_EQ(people_duration(3'599.6), "1 h 00 min");
  EXPECT_EQ(people_duration(7'500), "2 h 05 min");
  EXPECT_EQ(people_duration(273'600), "3 d 4 h");
  EXPECT_EQ(people_duration(nan), "–");
}

}  // namespace
}  // namespace headrace::cli
