#include "base/config.hpp"

#include "base/units.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

config_reader read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto reader = config_reader::parse(text, "job.toml", overrides);
  EXPECT_TRUE(reader.ok()) << (reader.ok() ? "" : describe(reader.error()));
  return std::move(*reader);
}

std::string failure_of(const config_reader& reader) {
  const auto done = reader.finish();
  return done.ok() ? "no failure" : describe(done.error());
}

TEST(Config, ReadsTypedValuesAndDefaults) {
  auto reader = read(
      "[a]\nname = \"x\"\nflag = true\nwhole = 7\nreal = 0.5\nwait = \"1.5ms\"\nsize = \"64MiB\"\n"
      "one = \"log1p\"\nmany = [\"log1p\", 3]\ncolumn = 4\nmillion = 1e6\n");
  EXPECT_EQ(reader.text("a.name", ""), "x");
  EXPECT_TRUE(reader.flag("a.flag", false));
  EXPECT_EQ(reader.whole("a.whole", 1, {0, 10}), 7);
  EXPECT_EQ(reader.number("a.real", 1, {0, 1}), 0.5);
  EXPECT_EQ(reader.duration_ns("a.wait", 0, {0, 1'000'000'000}), 1'500'000U);
  EXPECT_EQ(reader.bytes("a.size", 0, {}), 64U << 20);
  EXPECT_THAT(reader.list("a.one"), ElementsAre("log1p"));
  EXPECT_THAT(reader.list("a.many"), ElementsAre("log1p", "3"));
  EXPECT_EQ(reader.text_or_whole("a.column", ""), "4");
  EXPECT_EQ(reader.whole("a.million", 1, {0, 10'000'000}), 1'000'000);
  EXPECT_EQ(reader.whole("b.absent", 3, {0, 10}), 3);
  EXPECT_EQ(reader.optional_whole("b.none", {0, 10}), std::nullopt);
  EXPECT_TRUE(reader.finish().ok()) << failure_of(reader);
}

TEST(Config, WrongValuesNameFileLineKeyValueAndWhatIsAccepted) {
  struct refusal {
    const char* text;
    const char* says;
  };
  const refusal cases[] = {
      {"[a]\n\nwhole = 11", "job.toml:3: a.whole = 11: accepted is a whole number, 0 … 10"},
      {"[a]\nwhole = -1", "job.toml:2: a.whole = -1: accepted is"},
      {"[a]\nwhole = 1.5", "job.toml:2: a.whole = 1.5: accepted is a whole number"},
      {"[a]\nwhole = \"7\"", "a.whole = \"7\": accepted is a whole number"},
      {"[a]\nreal = nan", "a.real = nan: accepted is a number above 0.0, at most 1.0"},
      {"[a]\nreal = inf", "a.real = inf: accepted is"},
      {"[a]\nreal = 0", "a.real = 0: accepted is"},
      {"[a]\nwait = 20", "a.wait = 20: accepted is a duration with its unit"},
      {"[a]\nwait = \"20\"", "a.wait = \"20\": accepted is a duration"},
      {"[a]\nwait = \"0.5ns\"", "a.wait = \"0.5ns\": accepted is a duration"},
      {"[a]\nwait = \"-1s\"", "a.wait = \"-1s\": accepted is a duration"},
      {"[a]\nwait = \"2m\"", "\"0s\" … \"1m\""},
      {"[a]\nsize = \"1TB\"", "a.size = \"1TB\": accepted is bytes"},
      {"[a]\nword = \"fm2\"", "a.word = \"fm2\": accepted is \"lr\" | \"fm\""},
      {"[a]\nname = 3", "a.name = 3: accepted is text in quotes"},
      {"[a]\nflag = 1", "a.flag = 1: accepted is true | false"},
      {"[a]\nmany = [1.5]", "a.many = [ 1.5 ]: accepted is a list"},
  };
  for (const auto& one : cases) {
    auto reader = read(one.text);
    reader.whole("a.whole", 1, {0, 10});
    reader.number("a.real", 1, {0, 1, true});
    reader.duration_ns("a.wait", 0, {0, 60'000'000'000});
    reader.bytes("a.size", 0, {0, 1000});
    reader.choice<int>("a.word", "fm", {{"lr", 1}, {"fm", 2}});
    reader.text("a.name", "");
    reader.flag("a.flag", true);
    reader.list("a.many");
    EXPECT_THAT(failure_of(reader), HasSubstr(one.says)) << one.text;
    EXPECT_EQ(failure_of(reader).find('\n'), std::string::npos) << one.text;
  }
}

TEST(Config, UnknownKeysAreRefusedWithTheNearestKnownOne) {
  const std::pair<const char*, const char*> cases[] = {
      {"[train]\nbatch_mx = 4",
       "job.toml:2: unknown key train.batch_mx; did you mean train.batch_max?"},
      {"[train]\nbatch_amx = 4", "did you mean train.batch_max?"},
      {"[trian]\nbatch_max = 4",
       "job.toml:2: unknown key trian.batch_max; did you mean train.batch_max?"},
      {"[job]\nbatch_max = 4", "unknown key job.batch_max; did you mean train.batch_max?"},
      {"[zzz]", "job.toml:1: unknown key zzz"},
      {"[train]\nsomething_else_entirely = 1", "see docs/job-file.md"},
      {"[[train]]\nbatch_max = 4", "train is a section: write [train]"},
      {"train = 4", "train is a section: write [train]"},
  };
  for (const auto& [text, says] : cases) {
    auto reader = read(text);
    reader.whole("train.batch_max", 1, {});
    reader.text("job.name", "");
    EXPECT_THAT(failure_of(reader), HasSubstr(says)) << text;
  }
}

TEST(Config, AnUnknownKeyIsToldBeforeTheKeyItWasMeantToBe) {
  auto reader = read("[source]\nurl = \"x\"\n");
  reader.required_text("source.uri", "where events come from");
  EXPECT_THAT(failure_of(reader), HasSubstr("unknown key source.url; did you mean source.uri?"));
}

TEST(Config, AMissingKeySaysWhatItIs) {
  auto reader = read("");
  reader.required_text("source.uri", "where events come from");
  EXPECT_THAT(failure_of(reader),
              HasSubstr("job.toml: source.uri is missing: where events come from"));
}

TEST(Config, OverridesReplaceValuesAndBareWordsAreText) {
  auto reader = read("[source]\nuri = \"a\"\nrows = 1\n",
                     {"source.uri=file:///data/u.data",
                      "source.rows=20",
                      "source.day=2024-01-01",
                      "source.list=[\"a\", \"b\"]",
                      "deep.new.key=true",
                      "source.empty="});
  EXPECT_EQ(reader.text("source.uri", ""), "file:///data/u.data");
  EXPECT_EQ(reader.whole("source.rows", 0, {}), 20);
  EXPECT_EQ(reader.text("source.day", ""), "2024-01-01");
  EXPECT_THAT(reader.list("source.list"), ElementsAre("a", "b"));
  EXPECT_TRUE(reader.flag("deep.new.key", false));
  EXPECT_EQ(reader.text("source.empty", "x"), "");
  EXPECT_TRUE(reader.finish().ok()) << failure_of(reader);
}

TEST(Config, AWrongOverrideNamesItself) {
  auto reader = read("[a]\nwhole = 1\n", {"a.whole=99"});
  reader.whole("a.whole", 1, {0, 10});
  EXPECT_THAT(failure_of(reader), HasSubstr("--set a.whole: a.whole = 99: accepted is"));
  for (const char* given : {"a", "=1", "a..b=1", ".a=1", "a.whole.x=1"}) {
    const std::vector<std::string> overrides{given};
    EXPECT_FALSE(config_reader::parse("[a]\nwhole = 1\n", "job.toml", overrides).ok()) << given;
  }
}

TEST(Config, AnOverrideCannotSmuggleInOtherKeys) {
  auto reader = read("", {"a.name=1\nother = 2"});
  EXPECT_EQ(reader.text("a.name", ""), "1\nother = 2");
}

TEST(Config, WhatIsNotTomlNamesItsLine) {
  const auto reader = config_reader::parse("[a]\nb = \n", "job.toml", {});
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().code, errc::bad_config);
  EXPECT_THAT(reader.error().detail, HasSubstr("job.toml:2: not TOML"));
}

TEST(Config, TheResolvedTextReadsBackAsItself) {
  const auto resolve = [](const std::string& text) {
    auto reader = read(text);
    reader.text("job.name",
                "it's \"quoted\"\tand\nlong: "
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    reader.number("a.b.rate", 0.05, {0, 1});
    reader.list("a.columns", {"x", "y"});
    reader.duration_ns("job.wait", 90'000'000'000, {0, 1'000'000'000'000});
    reader.number("job.whole_number", 3, {0, 10});
    reader.text("top", "level");
    const auto done = reader.finish();
    return done.ok() ? *done : describe(done.error());
  };
  const std::string once = resolve("");
  EXPECT_EQ(resolve(once), once);
  EXPECT_THAT(once, HasSubstr("[a.b]\nrate = 0.05\n"));
  EXPECT_THAT(once, HasSubstr("wait = \"90s\""));
}

TEST(Config, ANameAndANumberStayApart) {
  const std::string text = "[a]\nname = \"2\"\nnumber = 2\nnone = \"\"\nlarge = 4\nreal = 1.5\n";
  auto reader = read(text);
  EXPECT_EQ(reader.name_or_place("a.name", 1, 3).name, "2");
  EXPECT_EQ(reader.name_or_place("a.number", 1, 3).name, "");
  EXPECT_EQ(reader.name_or_place("a.number", 1, 3).number, 2);
  EXPECT_EQ(reader.name_or_place("a.absent", 3, 3).number, 3);
  EXPECT_EQ(reader.failures(), 0U);
  for (const char* wrong : {"a.none", "a.large", "a.real"}) {
    auto again = read(text);
    EXPECT_EQ(again.name_or_place(wrong, 1, 3).number, 1) << wrong;
    again.text("a.name", "");
    EXPECT_THAT(describe(again.check("", 0).error()),
                HasSubstr("accepted is a name in quotes, or a whole number, 1 … 3"))
        << wrong;
  }
}

TEST(Config, OneTextStaysATextWhereAListIsTakenToo) {
  auto reader = read("[a]\none = \"x\"\nmany = [\"x\", \"y\"]\nnone = \"\"\n");
  EXPECT_THAT(reader.text_or_list("a.one"), ElementsAre("x"));
  EXPECT_THAT(reader.text_or_list("a.many"), ElementsAre("x", "y"));
  EXPECT_TRUE(reader.text_or_list("a.none").empty());
  EXPECT_TRUE(reader.text_or_list("a.absent").empty());
  EXPECT_EQ(*reader.finish(),
            "[a]\none = \"x\"\nmany = [\"x\", \"y\"]\nnone = \"\"\nabsent = \"\"\n");
}

TEST(Config, SectionsComeInFileOrderAndOverridesLast) {
  const auto reader = read("[features.user]\nkind = \"id\"\n[features.item]\nkind = \"id\"\n",
                           {"features.added.kind=id"});
  EXPECT_THAT(reader.sections("features"), ElementsAre("user", "item", "added"));
  EXPECT_TRUE(reader.sections("absent").empty());
}

TEST(Config, ACallersRefusalNamesThePlace) {
  auto reader = read("[source]\nlabel = \"rating\"\n");
  reader.text("source.label", "");
  reader.refuse("source.label", "write it as a comparison");
  EXPECT_THAT(failure_of(reader),
              HasSubstr("job.toml:2: source.label = \"rating\": write it as a comparison"));
}

TEST(Config, DurationsTakeTheLargestExactUnit) {
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(1'500), "1500ns");
  EXPECT_EQ(format_duration(1'000'000), "1ms");
  EXPECT_EQ(format_duration(86'400'000'000'000), "1d");
}

}  // namespace
}  // namespace headrace
