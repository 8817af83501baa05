#include "tests/support/process_facts.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/mount.h>
#include <unistd.h>

/// A disk that is really full: a small tmpfs in a namespace of the test's own.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 180s;
constexpr const char* inside = "HEADRACE_IN_NAMESPACE";

// Takes all space of the file system that `path` lies on, but `left` bytes.
void fill(const std::string& path, std::uint64_t left) {
  const auto folder = std::filesystem::path(path).parent_path();
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  const std::string block(4096, 'x');
  while (std::filesystem::space(folder).available > left) {
    if (::write(file, block.data(), block.size()) <= 0) break;
  }
  ::close(file);
}

// What RocksDB's manifest files look like: changes when rows were made durable.
std::string manifests(const std::string& rows) {
  std::string seen;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(rows)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("MANIFEST")) continue;
    seen += name + ":" + std::to_string(std::filesystem::file_size(entry.path(), gone)) + " ";
  }
  return seen;
}

// The test itself, in a namespace where it may mount.
void fill_a_disk_under_a_server() {
  const temporary_folder folder;
  small_job wanted;
  wanted.duration = 12s;
  const std::string job = wanted.write(folder);
  const auto calm = calm_run(job, folder / "calm");
  ASSERT_EQ(calm.status, 0) << calm.errors;
  const std::string disk = folder / "disk";
  std::filesystem::create_directory(disk);
  ASSERT_EQ(::mount("headrace-test", disk.c_str(), "tmpfs", 0, "size=200m"), 0)
      << std::strerror(errno);
  fill(disk + "/ballast", 1'500'000);
  {
    serving server(job, disk + "/server");
    ASSERT_NE(server.endpoint, "") << server.process.errors();
    child_process worker(worker_command(job, folder / "worker", server.endpoint));
    ASSERT_TRUE(server.process.wait_for_text("shard.refuses", patience))
        << server.process.errors() << worker.errors();
    EXPECT_NE(server.process.errors().find("No space left on device; free space"),
              std::string::npos)
        << server.process.errors();
    EXPECT_FALSE(server.process.wait_for(0ms)) << server.process.errors();
    EXPECT_FALSE(worker.wait_for(0ms)) << worker.errors();
    const std::string before = manifests(disk + "/server/rows");
    std::filesystem::remove(disk + "/ballast");
    EXPECT_TRUE(server.process.wait_for_text("shard.accepts_again", patience))
        << server.process.errors();
    EXPECT_EQ(worker.wait_for(patience), 0) << worker.errors() << server.process.errors();
    const auto rows_are_written = [&] { return manifests(disk + "/server/rows") != before; };
    EXPECT_TRUE(eventually(rows_are_written, patience)) << server.process.errors();
    server.process.signal(SIGTERM);
    EXPECT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
  }
  std::string why;
  const std::string expected = audited(folder / "calm", why);
  const std::string inspected = audited(disk + "/server", why);
  EXPECT_NE(inspected, "") << why;
  EXPECT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
  EXPECT_EQ(::umount(disk.c_str()), 0) << std::strerror(errno);
}

TEST(FullDisk, ServerRefusesKeepsRunningAndResumesWhenSpaceReturns) {
  if (std::getenv(inside) != nullptr) return fill_a_disk_under_a_server();
  const std::string probe =
      "exec unshare -rm sh -c 'mount -t tmpfs none /mnt' 2>/dev/null >/dev/null";
  if (std::system(probe.c_str()) != 0)
    GTEST_SKIP() << "user and mount namespaces are forbidden here: no disk to fill";
  const auto again = run_program({"/bin/sh",
                                  "-c",
                                  "exec unshare -rm \"$0\" --gtest_filter=FullDisk.*",
                                  std::filesystem::read_symlink("/proc/self/exe").string()},
                                 400s,
                                 {std::string(inside) + "=1"});
  EXPECT_EQ(again.status, 0) << again.output << again.errors;
  EXPECT_NE(again.output.find("[  PASSED  ] 1 test"), std::string::npos) << again.output;
}

}  // namespace
}  // namespace headrace::tests
