#include "tests/integration/live_run.hpp"

#include "schemas/hash.hpp"
#include "storage/segment_log.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <utility>

namespace headrace::tests {
namespace {

constexpr const char* curl = "/usr/bin/curl";

std::vector<std::string> post_command(const std::string& url, const std::string& file) {
  return {curl,
          "-sS",
          "--max-time",
          "20",
          "-w",
          " status=%{http_code}",
          "--data-binary",
          "@" + file,
          url};
}

/// A producer that goes on where the newest acknowledgement was.
class persistent_producer {
 public:
  persistent_producer(const lines_under_fire& stream, random_stream& random)
      : stream_(stream), random_(random) {}

  /// Pushes of random size until `goal` lines were sent; in the midst of the last one `run` is
  /// killed.
  void push_until_killed(live_run& run, std::size_t goal) {
    while (kept_ < goal) {
      const std::size_t to = end_of_push();
      if (to < goal) {
        push(run, to);
        continue;
      }
      write_lines(to);
      child_process pushing(post_command(run.url, file()));
      static_cast<void>(pushing.wait_for(std::chrono::milliseconds(random_.next_below(40))));
      run.process.signal(SIGKILL);
      static_cast<void>(pushing.wait_for(live_patience));
      if (pushing.output().find("status=200") != std::string::npos) kept_ = std::max(kept_, to);
      break;
    }
    run.process.signal(SIGKILL);
    EXPECT_EQ(run.process.wait_for(live_patience), 128 + SIGKILL);
  }
  void push_all(const live_run& run) {
    while (kept_ < stream_.lines.size() && !testing::Test::HasFailure()) push(run, end_of_push());
  }

 private:
  std::string file() const { return folder_ / "lines"; }
  std::size_t end_of_push() {
    return std::min(stream_.lines.size(), kept_ + 1 + random_.next_below(stream_.push_max));
  }
  // From where it is not acknowledged; one time in four from a little before.
  void write_lines(std::size_t to) {
    const std::size_t again = random_.next_below(4) == 0 ? random_.next_below(stream_.push_max) : 0;
    std::ofstream out(file());
    for (std::size_t at = kept_ - std::min(kept_, again); at < to; ++at) out << stream_.lines[at];
  }
  // A run that is full says when it may be asked again.
  void push(const live_run& run, std::size_t to) {
    write_lines(to);
    auto command = post_command(run.url, file());
    command.insert(command.end(), {"--retry", "100"});
    const auto done = run_program(std::move(command), live_patience);
    EXPECT_NE(done.output.find("status=200"), std::string::npos) << done.output << done.errors;
    kept_ = std::max(kept_, to);
  }

  const lines_under_fire& stream_;
  random_stream& random_;
  temporary_folder folder_;
  std::size_t kept_ = 0;  // lines before are acknowledged
};

void kill_while_it_starts(std::vector<std::string> arguments, random_stream& random) {
  child_process starting(std::move(arguments));
  static_cast<void>(starting.wait_for(std::chrono::milliseconds(random.next_below(300))));
  starting.signal(SIGKILL);
  EXPECT_EQ(starting.wait_for(live_patience), 128 + SIGKILL) << starting.errors();
}

}  // namespace

bool has_curl() { return std::filesystem::exists(curl); }

live_run::live_run(const std::string& job,
                   const std::string& state,
                   std::vector<std::string> more,
                   const std::string& verb)
    : process(arguments(job, state, std::move(more), verb)) {
  if (!process.wait_for_text("/v1/events", live_patience)) return;
  const std::string said = process.errors();
  const auto from = said.find("http://127.0.0.1:");
  url = said.substr(from, said.find('"', from) - from);
}

std::vector<std::string> live_run::arguments(const std::string& job,
                                             const std::string& state,
                                             std::vector<std::string> more,
                                             const std::string& verb) {
  std::vector<std::string> made{headrace_binary(), verb, job, "--state", state};
  if (verb == "run") made.emplace_back("--json");
  made.insert(made.end(), more.begin(), more.end());
  return made;
}

std::string live_run::interrupt() {
  process.signal(SIGINT);
  EXPECT_EQ(process.wait_for(live_patience), 0) << process.errors();
  return process.output();
}

finished post(const std::string& url, const std::string& body, const temporary_folder& folder) {
  const std::string file = folder / "body";
  std::ofstream(file) << body;
  return run_program(post_command(url, file), live_patience);
}

void for_each_sealed(
    const std::string& state,
    const std::function<void(const schemas::sample_batch& batch, std::uint32_t place)>& visit) {
  storage::segment_log::options how;
  how.folder = state + "/samples/events#1";
  how.read_only = true;
  auto log = storage::segment_log::open(how);
  ASSERT_TRUE(log) << describe(log.error());
  std::uint64_t next_row = 0;
  const auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    const auto batch = schemas::decode_sample_batch(record.payload);
    EXPECT_TRUE(batch) << describe(batch.error());
    if (!batch) return false;
    for (std::uint32_t place = 0; place < batch->samples; ++place) {
      EXPECT_EQ(batch->row_numbers[place], next_row++);
      visit(*batch, place);
    }
    return true;
  });
  EXPECT_TRUE(read) << describe(read.error());
}

void push_under_fire(const std::string& job,
                     const std::string& state,
                     const lines_under_fire& stream,
                     random_stream& random) {
  persistent_producer producer(stream, random);
  const auto runs = static_cast<std::size_t>(stream.kills) + 1;
  for (std::size_t run = 1; run < runs; ++run) {
    if (random.next_below(5) == 0) {
      kill_while_it_starts(live_run::arguments(job, state, stream.more, stream.verb), random);
      continue;
    }
    live_run taking(job, state, stream.more, stream.verb);
    ASSERT_NE(taking.url, "") << taking.process.errors();
    producer.push_until_killed(taking, stream.lines.size() * run / runs);
  }
  live_run taking(job, state, stream.more, stream.verb);
  ASSERT_NE(taking.url, "") << taking.process.errors();
  producer.push_all(taking);
  taking.interrupt();
}

std::vector<std::string> clicked_stream(std::uint64_t impressions) {
  constexpr std::uint64_t start_ms = 1'760'000'000'000;
  std::vector<std::string> lines;
  for (std::uint64_t id = 0; id < impressions; ++id) {
    const std::string n = std::to_string(id);
    const std::string shown = std::to_string(start_ms + id);
    lines.push_back(R"({"id":"i)" + n + R"(","key":"k)" + n + R"(","time":)" + shown +
                    R"(,"features":{"user":"u)" + std::to_string(id % 17) + R"(","item":"i)" + n +
                    "\"}}\n");
    if (id % 3 == 0)
      lines.push_back(R"({"id":"c)" + n + R"(","key":"k)" + n + R"(","time":)" + shown +
                      R"(,"action":"click"})" + "\n");
  }
  lines.push_back(R"({"id":"closer","key":"closer","time":)" +
                  std::to_string(start_ms + impressions + 10'800'000) +
                  R"(,"features":{"user":"u","item":"closer"}})" + "\n");
  return lines;
}

std::map<std::uint64_t, float> sealed_labels(const std::string& state) {
  std::map<std::uint64_t, float> labels;
  for_each_sealed(state, [&](const schemas::sample_batch& batch, std::uint32_t i) {
    const bool is_new = labels.emplace(batch.keys[i * 2 + 1], batch.labels[i]).second;
    EXPECT_TRUE(is_new) << "sample " << batch.row_numbers[i] << " was sealed before";
  });
  return labels;
}

void expect_all_joined(const std::string& state, std::uint64_t impressions) {
  const auto labels = sealed_labels(state);
  for (std::uint64_t id = 0; id < impressions; ++id) {
    const auto found =
        labels.find(schemas::hash_string_key("item", "i" + std::to_string(id)).value);
    ASSERT_NE(found, labels.end()) << "event " << id << " of " << impressions << " was lost";
    ASSERT_EQ(found->second, id % 3 == 0 ? 1.0F : 0.0F) << "event " << id;
  }
  EXPECT_EQ(labels.size(), impressions) << "the closer's window is open";
}

}  // namespace headrace::tests
