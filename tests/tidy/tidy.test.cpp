#include "tests/tidy/tidy_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

/// Reads every text file of the tree and holds it against the rules; then holds the rules against
/// known faults.
namespace headrace::tests {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct source_file {
  std::string path;  // from the root
  std::string text;
};

bool is_code(const fs::path& path) {
  static const std::set<std::string> endings{".hpp", ".cpp", ".cu", ".cuh", ".h"};
  return endings.contains(path.extension().string());
}

// Files of the tree: no hidden folders but .ci, no build output, nothing that is not text.
std::vector<source_file> read_tree() {
  std::vector<source_file> files;
  const fs::path root = HEADRACE_SOURCE_ROOT;
  for (auto at = fs::recursive_directory_iterator(root); at != fs::recursive_directory_iterator();
       ++at) {
    const std::string name = at->path().filename().string();
    if (at->is_directory()) {
      const bool skipped =
          (name.starts_with(".") && name != ".ci") || name == "build" || name == "__pycache__";
      if (skipped) at.disable_recursion_pending();
      continue;
    }
    std::ifstream file(at->path(), std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    source_file read{fs::relative(at->path(), root).generic_string(), text.str()};
    if (read.text.find('\0') == std::string::npos) files.push_back(std::move(read));
  }
  return files;
}

const std::vector<source_file>& tree() {
  static const auto files = read_tree();
  return files;
}

template <class Rule>
std::vector<std::string> faults_of_tree(Rule&& rule, bool code_only) {
  std::vector<std::string> all;
  for (const auto& file : tree()) {
    if (code_only && !is_code(file.path)) continue;
    for (auto& one : rule(file.path, file.text)) all.push_back(std::move(one));
  }
  return all;
}

TEST(Tree, IsTheWholeTree) {
  std::set<std::string> folders;
  for (const auto& file : tree()) folders.insert(file.path.substr(0, file.path.find('/')));
  for (const char* folder : {"base",
                             "schemas",
                             "kernels",
                             "storage",
                             "ps",
                             "worker",
                             "serve",
                             "actors",
                             "cli",
                             "tests"}) {
    EXPECT_TRUE(folders.contains(folder)) << folder;
  }
}

TEST(Tree, IncludesPointDownAndLibrariesStayHome) {
  EXPECT_THAT(faults_of_tree(include_faults, true), IsEmpty());
}
TEST(Tree, HeadersAreGuardedAndOpenNoNamespace) {
  EXPECT_THAT(faults_of_tree(header_faults, true), IsEmpty());
}
TEST(Tree, NamesNoMachineAndNumbersItsLooseEnds) {
  EXPECT_THAT(faults_of_tree(text_faults, false), IsEmpty());
}

TEST(Tree, EachOperatorHasARowInTheDocument) {
  std::vector<std::string> paths;
  std::string document;
  for (const auto& file : tree()) {
    paths.push_back(file.path);
    if (file.path == "docs/kernels.md") document = file.text;
  }
  EXPECT_THAT(paths, Contains("kernels/fm/fm_ref.cpp")) << "operators are found otherwise now";
  EXPECT_THAT(operator_faults(paths, document), IsEmpty());
}

std::vector<std::string> include_in(const std::string& path, const std::string& target) {
  return include_faults(path, "// one\n#include " + target + "\n");
}

TEST(Rules, IncludesUpTheLayersAreCaught) {
  const std::pair<const char*, const char*> wrong[] = {
      {"base/log.cpp", "\"schemas/hash.hpp\""},
      {"schemas/hash.cpp", "\"storage/row_store.hpp\""},
      {"storage/segment_log.cpp", "\"ps/shard/shard.hpp\""},
      {"kernels/fm/fm_cpu.cpp", "\"schemas/hash.hpp\""},
      {"ps/shard/shard.cpp", "\"actors/messages.hpp\""},
      {"actors/shard_actor.cpp", "\"cli/job/job_file.hpp\""},
      {"worker/step/trainer.cpp", "\"bench/rows64/rows64.hpp\""}};
  for (const auto& [path, target] : wrong)
    EXPECT_EQ(include_in(path, target).size(), 1U) << path << target;
}

TEST(Rules, SiblingsAreCaught) {
  EXPECT_THAT(include_in("ps/shard/shard.cpp", "\"worker/model/model_graph.hpp\""),
              ElementsAre(HasSubstr("ps/shard/shard.cpp:2: ps/ must not include")));
  EXPECT_EQ(include_in("worker/step/trainer.cpp", "\"ps/shard/shard.hpp\"").size(), 1U);
  EXPECT_EQ(include_in("serve/replica.cpp", "\"ps/shard/shard.hpp\"").size(), 1U);
  EXPECT_EQ(include_in("ps/shard/shard.cpp", "\"serve/replica.hpp\"").size(), 1U);
  EXPECT_EQ(include_in("worker/step/trainer.cpp", "\"serve/replica.hpp\"").size(), 1U);
  EXPECT_THAT(include_in("serve/predictor.cpp", "\"worker/step/batch_scorer.hpp\""), IsEmpty());
  EXPECT_EQ(include_in("storage/segment_log.cpp", "\"kernels/fm/fm.hpp\"").size(), 1U);
}

TEST(Rules, LibrariesAwayFromHomeAreCaught) {
  const std::pair<const char*, const char*> wrong[] = {
      {"ps/shard/shard.hpp", "<caf/all.hpp>"},
      {"actors/shard_actor.cpp", "<zmq.hpp>"},
      {"actors/http/server.cpp", "<zmq.hpp>"},
      {"ps/shard/gate.cpp", "<capnp/serialize.h>"},
      {"worker/ingest/event_source.cpp", "<xxhash.h>"},
      {"ps/table/table.cpp", "<rocksdb/db.h>"},
      {"cli/verb_run.cpp", "<curl/curl.h>"},
      {"cli/job/job_file.cpp", "<toml++/toml.h>"},
      {"storage/manifest.cpp", "<openssl/evp.h>"},
      {"storage/manifest.cpp", "<zstd.h>"},
      {"worker/step/trainer.cpp", "<hwy/highway.h>"},
      {"actors/ingest_actor.cpp", "<CLI/CLI.hpp>"},
      {"base/check.cpp", "<spdlog/logger.h>"},
      {"base/config.cpp", "<some/new/library.hpp>"},
      {"ps/shard/shard.cpp", "<gtest/gtest.h>"}};
  for (const auto& [path, target] : wrong)
    EXPECT_EQ(include_in(path, target).size(), 1U) << path << target;
}

TEST(Rules, KernelsUseBaseCoreOnly) {
  EXPECT_THAT(include_in("kernels/fm/fm.hpp", "\"base/check.hpp\""), IsEmpty());
  EXPECT_EQ(include_in("kernels/fm/fm.hpp", "\"base/log.hpp\"").size(), 1U);
  EXPECT_EQ(include_in("base/result.hpp", "\"base/log.hpp\"").size(), 1U);
}

TEST(Rules, RightIncludesPass) {
  const std::pair<const char*, const char*> right[] = {
      {"ps/shard/shard.cpp", "\"storage/row_store.hpp\""},
      {"ps/shard/shard.test.cpp", "<gtest/gtest.h>"},
      {"ps/shard/shard.test.cpp", "\"tests/support/child_process.hpp\""},
      {"actors/transport/router.cpp", "<zmq.hpp>"},
      {"bench/rows64/plain_server.cpp", "<zmq.hpp>"},
      {"cli/verb_bench.cpp", "\"bench/rows64/rows64.hpp\""},
      {"cli/main.cpp", "<CLI/CLI.hpp>"},
      {"cli/job_server.hpp", "<caf/fwd.hpp>"},
      {"tests/simulation/sim.cpp", "\"ps/shard/shard.hpp\""},
      {"base/byte_input.cpp", "<sys/stat.h>"},
      {"kernels/include/headrace_rows.h", "\"headrace_kernels.h\""},
      {"schemas/push.cpp", "\"schemas/push.capnp.h\""}};
  for (const auto& [path, target] : right) EXPECT_THAT(include_in(path, target), IsEmpty());
}

TEST(Rules, OddlyWrittenIncludesAreReadToo) {
  EXPECT_EQ(include_faults("ps/a.cpp", "  #  include<caf/all.hpp>").size(), 1U);
  EXPECT_EQ(include_in("ps/shard/shard.cpp", "\"shard.hpp\"").size(), 1U);
  EXPECT_EQ(include_in("kernels/abi/entry.cpp", "\"headrace_kernels.h\"").size(), 1U);
  EXPECT_EQ(include_in("ps/shard/shard.cpp", "\"../table/table.hpp\"").size(), 1U);
  EXPECT_THAT(include_faults("ps/a.cpp", "// #include <caf/all.hpp>"), IsEmpty());
}

TEST(Rules, HeadersWithoutGuardOrWithAnOpenNamespaceAreCaught) {
  EXPECT_THAT(header_faults("a/b.hpp", "#pragma once\nint x;\n"), IsEmpty());
  EXPECT_EQ(header_faults("a/b.hpp", "int x;\n").size(), 1U);
  EXPECT_EQ(header_faults("a/b.hpp", "#pragma once\nusing namespace std;\n").size(), 1U);
  EXPECT_THAT(header_faults("a/b.cpp", "using namespace std;\n"), IsEmpty());
  EXPECT_THAT(header_faults("a/b.hpp", "#pragma once\nvoid f() {\n  using namespace std;\n}\n"),
              IsEmpty());
  EXPECT_THAT(header_faults("a/b-inl.hpp", "#ifdef HWY_TARGET_TOGGLE\n"), IsEmpty());
}

TEST(Rules, MachinePathsAndLooseEndsAreCaught) {
  const std::string folder = std::string("/ho") + "me/";
  const std::string note = std::string("TO") + "DO";
  EXPECT_THAT(text_faults("a.md", "one\nsee " + folder + "me/x\n"),
              ElementsAre(HasSubstr("a.md:2: ")));
  EXPECT_EQ(text_faults("a.toml", "uri = \"file://" + folder + "x\"").size(), 1U);
  EXPECT_THAT(text_faults("a.md", "$HOME/x ~" + folder + " and https://example.org" + folder),
              IsEmpty());
  EXPECT_EQ(text_faults("a.cpp", "// " + note + ": later").size(), 1U);
  EXPECT_THAT(text_faults("a.cpp", "// " + note + "(#12): later\n// " + note + " 7"), IsEmpty());
}

TEST(Rules, OperatorsWithoutARowAreCaught) {
  const std::vector<std::string> paths{"kernels/fm/fm_ref.cpp",
                                       "kernels/softmax_loss/sampled_softmax_ref.cpp",
                                       "kernels/softmax_loss/vocab_softmax_ref.cpp",
                                       "kernels/runtime/device.hpp",
                                       "worker/other/other_ref.cpp"};
  const std::string head = "# Kernels\n\n## Ops\n\n| op | maths |\n| --- | --- |\n";
  const std::string fm = "| `fm` | x |\n";
  EXPECT_THAT(operator_faults(paths, head + fm + "| `softmax_loss`: `sampled_softmax` | y |\n"),
              IsEmpty());
  EXPECT_THAT(operator_faults(paths, head + fm),
              ElementsAre(HasSubstr("docs/kernels.md:3: no row for `softmax_loss`")));
  for (const char* elsewhere : {"`softmax_loss` in prose\n",
                                "| `softmax_loss_2` | y |\n",
                                "| `fm_2` | inside `softmax_loss` |\n",
                                "## CUDA operators\n| `softmax_loss` | y |\n"}) {
    EXPECT_EQ(operator_faults(paths, head + fm + elsewhere).size(), 1U) << elsewhere;
  }
  EXPECT_EQ(operator_faults(paths, "").size(), 2U);
}

}  // namespace
}  // namespace headrace::tests
