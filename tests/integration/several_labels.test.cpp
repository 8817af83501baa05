#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

/// Jobs of several labels through the real binary.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 120s;

/// Small enough to train in seconds: 32,000 events, vectors of 8, four experts of 16 units.
std::string conversion_job(const temporary_folder& folder,
                           const std::string& name,
                           const std::string& model) {
  std::string path = folder / (name + ".toml");
  std::ofstream(path) << "[job]\nname = \"" << name
                      << "\"\n[source]\nuri = \"generate:planted_conversion\"\nrows = 32000\n"
                      << model
                      << "[train]\nbatch_max = 64\nbatch_wait = \"60s\"\nin_flight = 1\n"
                         "[shards]\ncount = 2\n[durability]\nlog = \"none\"\n";
  return path;
}

/// The model of one label that `mmoe_esmm` is compared with: the same experts, gate and tower.
std::string twin_of(const std::string& label) {
  return "[model]\narch = \"custom\"\n"
         "[layers.embedding]\nop = \"rows\"\nfirst_order = false\n"
         "[layers.vectors]\nop = \"fields\"\ninputs = [\"embedding\"]\n"
         "[layers.experts]\nop = \"linear\"\ninputs = [\"vectors\"]\nactivation = \"relu\"\n"
         "[layers.gate]\nop = \"linear\"\ninputs = [\"vectors\"]\nunits = 4\n"
         "[layers.mixture]\nop = \"mixture\"\ninputs = [\"gate\", \"experts\"]\n"
         "[layers.tower]\nop = \"linear\"\ninputs = [\"mixture\"]\nunits = 64\n"
         "activation = \"relu\"\n"
         "[layers.logit]\nop = \"linear\"\ninputs = [\"tower\"]\nunits = 1\n"
         "[layers.loss]\nop = \"bce\"\ninputs = [\"logit\"]\nlabel = \"" +
         label + "\"\n";
}

finished train(const std::string& job,
               const std::string& state,
               const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{headrace_binary(), "run", job, "--json", "--state", state};
  for (const char* small : {"layers.embedding.dim=8", "layers.experts.units=64"})
    words.insert(words.end(), {"--set", small});
  words.insert(words.end(), more.begin(), more.end());
  return run_program(std::move(words), patience);
}

/// A figure of one label in the list of heads.
double of_label(const finished& ended, const std::string& label, const std::string& key) {
  const auto at = ended.output.find("{\"label\":\"" + label + "\"");
  if (at == std::string::npos) return -1.0;
  return std::stod(json_field(ended.output.substr(at), key));
}

TEST(SeveralLabels, AreEachReportedByNameInEveryPlace) {
  const temporary_folder folder;
  const auto job = conversion_job(folder, "both", "[model]\narch = \"mmoe_esmm\"\n");
  const auto ended = train(job, folder / "state", {"--predictions", folder / "p.tsv"});
  ASSERT_EQ(ended.status, 0) << ended.errors;
  EXPECT_EQ(json_field(ended.output, "samples"), "32000");
  EXPECT_EQ(std::stod(json_field(ended.output, "auc")), of_label(ended, "click", "auc"));
  EXPECT_GT(of_label(ended, "click", "positive_share"),
            of_label(ended, "conversion", "positive_share"));
  EXPECT_GT(of_label(ended, "conversion", "auc"), 0.6) << ended.output;
  EXPECT_GT(of_label(ended, "conversion", "auc_after_freeze"),
            of_label(ended, "conversion", "auc_frozen_after_freeze"));
  EXPECT_EQ(json_field(ended.output, "notes"), "[]") << ended.output;
  std::ifstream predictions(folder / "p.tsv");
  std::string line;
  std::getline(predictions, line);
  EXPECT_EQ(line,
            "row\tlabel click\tonline click\tfrozen click\tlabel conversion\tonline conversion\t"
            "frozen conversion");
  std::size_t rows = 0;
  while (std::getline(predictions, line)) ++rows;
  EXPECT_EQ(rows, 32'000U);
  std::ifstream page(folder / "state/report.html");
  const std::string report((std::istreambuf_iterator<char>(page)), {});
  EXPECT_NE(report.find("<th scope=\"row\">conversion</th>"), std::string::npos);
}

TEST(SeveralLabels, AreEachScoredByEval) {
  const temporary_folder folder;
  const auto job = conversion_job(folder, "both", "[model]\narch = \"mmoe_esmm\"\n");
  const auto trained = train(job, folder / "state");
  ASSERT_EQ(trained.status, 0) << trained.errors;
  const auto eval = [&](const std::string& how) {
    return run_program(
        {headrace_binary(), "eval", "--state", folder / "state", "--window", "16000", how},
        patience);
  };
  const auto ended = eval("--json");
  ASSERT_EQ(ended.status, 0) << ended.errors;
  EXPECT_EQ(std::stod(json_field(ended.output, "auc")), of_label(ended, "click", "auc"));
  EXPECT_EQ(of_label(ended, "conversion", "samples"), 32'000);
  EXPECT_NEAR(of_label(ended, "conversion", "label_1"),
              of_label(trained, "conversion", "positive_share"),
              1e-9);
  // It has seen these events: better than while it learned from them.
  EXPECT_GT(of_label(ended, "conversion", "auc"), of_label(trained, "conversion", "auc"));
  const auto table = eval("--at=now").output;
  EXPECT_NE(table.find("label click\n"), std::string::npos) << table;
  EXPECT_NE(table.find("\nlabel conversion\n"), std::string::npos) << table;
}

// At full size: docs/model-file.md. Here models are small and streams short, so the bound is wide.
TEST(SeveralLabels, CostAModelOfBothLittleAgainstAModelOfEach) {
  const temporary_folder folder;
  const auto both =
      train(conversion_job(folder, "both", "[model]\narch = \"mmoe_esmm\"\n"), folder / "both", {});
  ASSERT_EQ(both.status, 0) << both.errors;
  for (const std::string label : {"click", "conversion"}) {
    const auto alone = train(conversion_job(folder, label, twin_of(label)), folder / label);
    ASSERT_EQ(alone.status, 0) << alone.errors;
    EXPECT_EQ(alone.output.find("heads"), std::string::npos);
    EXPECT_NE(alone.output.find("is not learned"), std::string::npos) << alone.output;
    EXPECT_GT(of_label(both, label, "auc"), std::stod(json_field(alone.output, "auc")) - 0.01)
        << label << ": " << both.output;
  }
}

}  // namespace
}  // namespace headrace::tests
