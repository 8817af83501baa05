#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

/// `headrace cross`: from a job to one with a feature more, which then learns better.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

finished headrace(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), headrace_binary());
  return run_program(std::move(arguments), 120s);
}

/// 8,000 clicks on an ad, seven of ten where user and ad are both even or both odd, else three;
/// `shuffled`: half of all, whoever it is.
std::string clicks_job(const temporary_folder& folder, bool shuffled) {
  std::ofstream out(folder / "clicks.csv");
  out << "click,user,ad,day\n";
  std::uint32_t draw = 54'321;
  const auto next = [&](std::uint32_t below) {
    draw = draw * 1'664'525U + 1'013'904'223U;
    return (draw >> 8) % below;
  };
  for (int i = 0; i < 8'000; ++i) {
    const auto user = next(12);
    const auto ad = next(12);
    const std::uint32_t clicked = shuffled ? 5 : user % 2 == ad % 2 ? 7 : 3;
    out << (next(10) < clicked ? 1 : 0) << ",u" << user << ",a" << ad << ",d" << next(12) << '\n';
  }
  const std::string file = folder / "clicks.toml";
  std::ofstream(file) << "[job]\nname = \"clicks\"\n[source]\nuri = \"file://"
                      << folder / "clicks.csv"
                      << "\"\nlabel = \"click > 0\"\n# whose\n[features.user]\n[features.ad]\n"
                         "[features.day]\n[model]\narch = \"lr\"\n[train]\nin_flight = 1\n"
                         "batch_max = 8\n[durability]\nlog = \"os\"\n";
  return file;
}

double logloss_of(const std::string& job, const std::string& state) {
  const auto run = headrace({"run", job, "--state", state, "--json"});
  EXPECT_EQ(run.status, 0) << run.errors;
  return std::stod("0" + json_field(run.output, "logloss"));
}

TEST(Cross, WritesAJobThatLearnsBetter) {
  const temporary_folder folder;
  const auto job = clicks_job(folder, false);
  const auto found = headrace({"cross", job, "--write", folder / "new.toml"});
  ASSERT_EQ(found.status, 0) << found.errors;
  EXPECT_NE(found.output.find("+ user x ad"), std::string::npos) << found.output;
  EXPECT_NE(found.output.find("1 of 3 pairs"), std::string::npos) << found.output;
  const double before = logloss_of(job, folder / "before");
  EXPECT_LT(logloss_of(folder / "new.toml", folder / "after"), before - 0.02);
  const auto again = headrace({"cross", job, "--write", folder / "new.toml"});
  EXPECT_EQ(again.status, 2);
  EXPECT_NE(again.errors.find("name a new file"), std::string::npos) << again.errors;
}

TEST(Cross, FindsNothingWhereLabelsDependOnNothing) {
  const temporary_folder folder;
  const auto job = clicks_job(folder, true);
  const auto found = headrace({"cross", job, "--write", folder / "new.toml"});
  ASSERT_EQ(found.status, 0) << found.errors;
  EXPECT_NE(found.output.find("0 of 3 pairs"), std::string::npos) << found.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "new.toml"));
  const auto told = headrace({"cross", job, "--json", "--samples", "500"});
  EXPECT_EQ(json_field(told.output, "events"), "500");
  EXPECT_EQ(json_field(told.output, "worth_it"), "false");
  EXPECT_EQ(std::count(told.output.begin(), told.output.end(), '\n'), 1);
  const auto wrong = headrace({"cross", job, "--features", "user,adv"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.errors.find("did you mean 'ad'"), std::string::npos) << wrong.errors;
}

TEST(Cross, TriesThoseOfAGeneratedStream) {
  const temporary_folder folder;
  std::ofstream(folder / "g.toml") << "[job]\nname = \"g\"\n[source]\nuri = \"generate:planted\"\n"
                                      "rows = 2000\n";
  const auto told = headrace({"cross", folder / "g.toml", "--json", "--features", "id5,id10"});
  ASSERT_EQ(told.status, 0) << told.errors;
  EXPECT_EQ(json_field(told.output, "name"), "id5_x_id10");
}

}  // namespace
}  // namespace headrace::tests
