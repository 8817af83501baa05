#include "worker/ingest/record_reader.hpp"

#include "worker/ingest/time_format.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace headrace::worker {
namespace {

// What the reader makes of a file: the fields of each record, joined by '|', or the reason it is
// bad.
struct seen {
  std::vector<std::string> rows;
  std::vector<std::uint64_t> lines;
};

seen read_all(const std::string& content, const record_layout& layout) {
  const auto path = std::filesystem::path(testing::TempDir()) / "record_reader.test";
  std::ofstream(path, std::ios::binary) << content;
  auto reader = record_reader::open(path.string(), layout);
  EXPECT_TRUE(reader.ok());
  seen all;
  record each;
  std::vector<std::string_view> fields;
  std::string scratch;
  while (*reader->next(each)) {
    std::string row;
    if (each.bad) {
      row = "bad " + std::string(name(*each.bad));
    } else if (!split_fields(each, layout, fields, scratch)) {
      row = "bad split";
    } else {
      for (std::size_t i = 0; i < fields.size(); ++i)
        row += (i > 0 ? "|" : "") + std::string(fields[i]);
    }
    all.rows.push_back(row);
    all.lines.push_back(each.line);
  }
  std::filesystem::remove(path);
  return all;
}

using rows = std::vector<std::string>;
using lines = std::vector<std::uint64_t>;

TEST(RecordReader, TakesBothLineEndsAMarkAndALastLineWithoutAnEnd) {
  EXPECT_EQ(read_all("\xEF\xBB\xBF"
                     "a,b\r\n1,2\n3,4",
                     {})
                .rows,
            (rows{"a|b", "1|2", "3|4"}));
  EXPECT_EQ(read_all("", {}).rows, rows{});
  EXPECT_EQ(read_all("\n\r\n\n", {}).rows, rows{});
  EXPECT_EQ(read_all("a\r", {}).rows, rows{"a"});
}

TEST(RecordReader, SkipsEmptyLinesButCountsThem) {
  const seen all = read_all("a\n\n\nb\n", {});
  EXPECT_EQ(all.rows, (rows{"a", "b"}));
  EXPECT_EQ(all.lines, (lines{1, 4}));
}

TEST(RecordReader, KeepsEmptyFieldsAtBothEnds) {
  EXPECT_EQ(read_all(",a,,b,\n,\n", {}).rows, (rows{"|a||b|", "|"}));
}

TEST(RecordReader, SplitsAtSeparatorsOfSeveralBytes) {
  EXPECT_EQ(read_all("1::2:3::4\n:::\n", {.separator = "::"}).rows, (rows{"1|2:3|4", "|:"}));
  EXPECT_EQ(read_all("a--------b\n", {.separator = "--------"}).rows, rows{"a|b"});
  EXPECT_EQ(read_all("a\tb,c\n", {.separator = "\t"}).rows, rows{"a|b,c"});
}

TEST(RecordReader, ReadsQuotedFieldsAsRfc4180Does) {
  const seen all =
      read_all("\"a,b\",\"c\"\"d\",\"\"\n\"two\r\nlines\n\",x\nplain\"quote,y\"\n", {});
  EXPECT_EQ(all.rows, (rows{"a,b|c\"d|", "two\r\nlines\n|x", "plain\"quote|y\""}));
  EXPECT_EQ(all.lines, (lines{1, 2, 5}));
  EXPECT_EQ(read_all("\"\"\"\"", {}).rows, rows{"\""});
  EXPECT_EQ(read_all("\"a\n\"", {}).rows, rows{"a\n"});
}

TEST(RecordReader, LeavesQuotesAloneWhereThereAreNone) {
  EXPECT_EQ(read_all("\"a,b\"\n\"c\n", {.quotes = false}).rows, (rows{"\"a|b\"", "\"c"}));
}

TEST(RecordReader, LosesOneLineToAQuoteThatDoesNotClose) {
  const seen all = read_all("a,1\n\"b,2\nc,3\nd,4\n", {});
  EXPECT_EQ(all.rows, (rows{"a|1", "bad open_quote", "c|3", "d|4"}));
  EXPECT_EQ(all.lines, (lines{1, 2, 3, 4}));
  std::string far = "\"b,2\n";
  for (int i = 0; i < 100; ++i) far += "row,5\n";
  far += "\"end\",6\n";
  const seen bounded = read_all(far, {.row_bytes_max = 64});
  EXPECT_EQ(bounded.rows.size(), 102U);
  EXPECT_EQ(bounded.rows[0], "bad open_quote");
  EXPECT_EQ(bounded.rows[1], "row|5");
  EXPECT_EQ(bounded.rows.back(), "end|6");
}

TEST(RecordReader, RefusesTextBehindAClosingQuote) {
  EXPECT_EQ(read_all("\"a\"x,b\nc,d\n", {}).rows, (rows{"bad split", "c|d"}));
}

TEST(RecordReader, DropsALineThatIsTooLongWhateverItsLength) {
  for (const std::size_t length : {std::size_t{65}, std::size_t{300'000}, std::size_t{2'000'000}}) {
    const seen all = read_all("a\n" + std::string(length, 'x') + "\nb\n", {.row_bytes_max = 64});
    EXPECT_EQ(all.rows, (rows{"a", "bad too_long", "b"})) << length;
    EXPECT_EQ(all.lines, (lines{1, 2, 3})) << length;
    EXPECT_EQ(read_all(std::string(length, 'x'), {.row_bytes_max = 64}).rows, rows{"bad too_long"})
        << length;
  }
  EXPECT_EQ(read_all(std::string(64, 'x') + "\n", {.row_bytes_max = 64}).rows,
            rows{std::string(64, 'x')});
}

// Rows that straddle every place where the reader's buffer may end: quoted, plain, with long
// separators.
TEST(RecordReader, GivesTheSameRowsWhereverAChunkEnds) {
  std::string content;
  rows expected;
  for (int i = 0; content.size() < 1'200'000; ++i) {
    const std::string pad(static_cast<std::size_t>(i * 7919 % 1013), 'p');
    const std::string id = std::to_string(i);
    content += id + "::\"" + pad + "\n\"\"::\"::end\r\n";
    expected.push_back(id + "|" + pad + "\n\"::|end");
  }
  EXPECT_EQ(read_all(content, {.separator = "::"}).rows, expected);
}

TEST(RecordReader, SaysThatAFileIsMissing) {
  const auto reader = record_reader::open("/nowhere/rows.csv", {});
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().code, errc::not_found);
}

std::optional<std::uint64_t> ms(const std::string& format, std::string_view text) {
  const auto made = time_format::parse(format);
  EXPECT_TRUE(made.ok()) << format;
  return made.ok() ? made->to_ms(text) : std::nullopt;
}

TEST(TimeFormat, ReadsUnixTimesWithAndWithoutFractions) {
  EXPECT_EQ(ms("unix", "881250949"), 881'250'949'000U);
  EXPECT_EQ(ms("unix", "881250949.25"), 881'250'949'250U);
  EXPECT_EQ(ms("unix", "8.5e2"), 850'000U);
  EXPECT_EQ(ms("unix_ms", "881250949001"), 881'250'949'001U);
  for (const char* bad : {"", "x", "1x", "-1", "nan", "inf", "1e300", "99999999999999999999"}) {
    EXPECT_EQ(ms("unix", bad), std::nullopt) << bad;
  }
}

TEST(TimeFormat, ReadsDatesAsUtc) {
  EXPECT_EQ(ms("%Y-%m-%d %H:%M:%S", "2010-12-01 08:26:00"), 1'291'191'960'000U);
  EXPECT_EQ(ms("%F %T", "1970-01-01 00:00:00"), 0U);
  EXPECT_EQ(ms("%FT%T%z", "2000-02-29T23:59:59.125Z"), 951'868'799'125U);
  EXPECT_EQ(ms("%F %T %z", "2000-03-01 01:00:00 +01:00"), 951'868'800'000U);
  EXPECT_EQ(ms("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700"), 971'211'336'000U);
  EXPECT_EQ(ms("%m/%d/%y %I:%M %p", "12/1/10 8:26 pm"), 1'291'235'160'000U);
  EXPECT_EQ(ms("%I %p", "12 AM"), 0U);
  EXPECT_EQ(ms("%Y %j", "2012 366"), 1'356'912'000'000U);
  EXPECT_EQ(ms("%B %e, %Y", "May  4, 2024"), 1'714'780'800'000U);
}

TEST(TimeFormat, RefusesWhatIsNoDate) {
  for (const char* bad : {"2011-02-29",
                          "2011-13-01",
                          "2011-00-01",
                          "2011-04-31",
                          "2011-04",
                          "2011-04-01x",
                          "1969-12-31",
                          "",
                          "20110401",
                          "1900-02-29"}) {
    EXPECT_EQ(ms("%F", bad), std::nullopt) << bad;
  }
  EXPECT_EQ(ms("%Y %j", "2011 366"), std::nullopt);
  EXPECT_EQ(ms("%T", "24:00:00"), std::nullopt);
}

TEST(TimeFormat, RefusesUnknownLettersWhenTheJobIsRead) {
  for (const char* bad : {"%Q", "%", "%Y-%", "seconds", ""}) {
    const auto made = time_format::parse(bad);
    ASSERT_FALSE(made.ok()) << bad;
    EXPECT_EQ(made.error().code, errc::bad_config);
  }
}

}  // namespace
}  // namespace headrace::worker
