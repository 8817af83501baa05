#include "cli/generated_output.hpp"

#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace headrace::cli {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

worker::generated_event click(std::uint64_t impression) {
  worker::generated_event event;
  event.kind = worker::generated_kind::click;
  event.impression = impression;
  event.time_ms = 5;
  return event;
}

TEST(GeneratedOutput, WritesLinesIntoAFile) {
  const storage::temporary_folder folder;
  const auto path = folder.path() / "events";
  const auto output = open_text_output(path, generated_format::json, 7);
  ASSERT_TRUE(output.ok());
  ASSERT_TRUE((*output)->add(click(1)).ok());
  EXPECT_EQ(text_of(path), "") << "gathered";
  ASSERT_TRUE((*output)->flush().ok());
  const std::string first = "{\"id\":\"7-1c\",\"key\":\"r1\",\"time\":5,\"action\":\"click\"}\n";
  EXPECT_EQ(text_of(path), first);
  ASSERT_TRUE((*output)->add(click(2)).ok());
  ASSERT_TRUE((*output)->finish().ok());
  EXPECT_EQ(text_of(path),
            first + "{\"id\":\"7-2c\",\"key\":\"r2\",\"time\":5,\"action\":\"click\"}\n");
}

TEST(GeneratedOutput, CsvHasItsHeaderOnce) {
  const storage::temporary_folder folder;
  const auto path = folder.path() / "events";
  const auto output = open_text_output(path, generated_format::csv, 7);
  ASSERT_TRUE(output.ok());
  ASSERT_TRUE((*output)->add(click(1)).ok());
  ASSERT_TRUE((*output)->flush().ok());
  ASSERT_TRUE((*output)->finish().ok());
  EXPECT_EQ(text_of(path),
            "id,key,time,action,user,item,category,price,position\n7-1c,r1,5,click,,,,,\n");
}

TEST(GeneratedOutput, AFileThatCannotBeWrittenIsSaid) {
  const storage::temporary_folder folder;
  const auto output =
      open_text_output(folder.path() / "absent" / "events", generated_format::json, 7);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().code, errc::io_error);
  // A full disk shows when it is written.
  const auto full = open_text_output("/dev/full", generated_format::json, 7);
  ASSERT_TRUE(full.ok());
  ASSERT_TRUE((*full)->add(click(1)).ok());
  EXPECT_FALSE((*full)->finish().ok());
}

}  // namespace
}  // namespace headrace::cli
