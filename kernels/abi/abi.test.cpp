#include "kernels/include/headrace_kernels.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

extern "C" uint32_t headrace_version_seen_from_c(void);

namespace {

TEST(KernelLibrary, IsTheVersionOfItsHeader) {
  EXPECT_EQ(headrace_version(), HEADRACE_KERNELS_VERSION);
  EXPECT_EQ(headrace_version_seen_from_c(), HEADRACE_KERNELS_VERSION);
}

TEST(KernelLibrary, NamesItsBackendAndWhatItRunsOn) {
  EXPECT_STREQ(headrace_backend(), "cpu");
  const std::string text = headrace_devices();
  EXPECT_NE(text.find(R"("backend":"cpu")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("device":[{"index":0,"name":")"), std::string::npos) << text;
}

TEST(KernelLibrary, NamesEachStatus) {
  EXPECT_STREQ(headrace_status_name(HEADRACE_OK), "ok");
  EXPECT_STREQ(headrace_status_name(HEADRACE_SMALL_WORKSPACE), "small_workspace");
  EXPECT_STREQ(headrace_status_name(HEADRACE_INTERNAL), "internal");
  EXPECT_STREQ(headrace_status_name(HEADRACE_PEER_GONE + 1), "unknown");
  EXPECT_STREQ(headrace_status_name(-1), "unknown");
}

}  // namespace
