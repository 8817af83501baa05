#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <fstream>

/// `headrace status --devices` as a person meets it, with and without a CUDA library.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

finished devices(const std::string& library, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {headrace_binary(), "status", "--devices"});
  return run_program(std::move(more), 60s, {"HEADRACE_CUDA_LIBRARY=" + library});
}

void expect_says(const finished& ended, const std::vector<std::string>& words) {
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_EQ(ended.errors, "");
  for (const auto& word : words) {
    EXPECT_NE(ended.output.find(word), std::string::npos) << word << " in: " << ended.output;
  }
}

TEST(Devices, AHostWithoutTheLibrarySaysWhereItWasLookedForAndWhatMakesIt) {
  expect_says(devices("/no/such/library.so"),
              {"cpu     ", "no gpu  ", "/no/such/library.so", "preset cuda"});
}

TEST(Devices, WithoutASettingTheLibraryIsLookedForBesideTheBinary) {
  const std::string binary = headrace_binary();
  const std::string beside = binary.substr(0, binary.rfind('/')) + "/libheadrace_cuda.so";
  const auto ended = devices("", {"--json"});
  EXPECT_EQ(json_field(ended.output, "cuda_library"), beside) << ended.output;
}

TEST(Devices, AFileThatIsNoLibraryIsRefused) {
  const temporary_folder folder;
  std::ofstream(folder / "text.so") << "no library\n";
  expect_says(devices(folder / "text.so"), {"no gpu  ", "text.so cannot be used"});
}

TEST(Devices, EachDeviceIsListedAndOneThatIsNotUsedSaysWhy) {
  expect_says(devices(HEADRACE_TWO_GPUS),
              {"gpu 0   First GPU, compute capability 9.0, 80.0 GiB\n",
               "gpu 1   Second GPU, compute capability 7.5, 16.0 GiB, refused: compute capability "
               "7.5\n"});
}

TEST(Devices, TheSameIsThereAsOneLineOfJson) {
  const auto ended = devices(HEADRACE_TWO_GPUS, {"--json"});
  expect_says(ended,
              {R"("refused":"","device":[{"name":"First GPU","capability":"9.0",)",
               R"("memory_bytes":17179869184,"refused":"compute capability 7.5"}]})"});
  EXPECT_EQ(json_field(ended.output, "cuda_library"), HEADRACE_TWO_GPUS);
}

}  // namespace
}  // namespace headrace::tests
