#include "bench/serve/freshness.hpp"

#include "actors/event_client.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "bench/available/open_loop.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"
#include "bench/serve/http_load.hpp"
#include "bench/serve/product.hpp"
#include "bench/serve/report.hpp"
#include "bench/serve/times.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace headrace::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr std::uint64_t probe_numbers_from = 1'000'000'000;  // beyond those of the load
constexpr std::uintmax_t bytes_free = std::uintmax_t{4} << 30;

available_options load_of(const freshness_options& options) {
  available_options load;
  load.rate = options.rate;
  load.seconds = options.all_seconds();
  load.batch = options.push;
  load.endpoint = options.events;
  return load;
}

/// The load of a client, on a thread of its own.
class running_load {
 public:
  static result<std::unique_ptr<running_load>> begin(const freshness_options& options) {
    auto sender = open_loop_sender::open(load_of(options));
    if (!sender) return sender.error();
    std::unique_ptr<running_load> made(new running_load);
    made->sender_ = std::move(*sender);
    made->thread_ = std::jthread([at = made.get()] { at->sent_ = at->sender_->send_all(); });
    return made;
  }
  result<sent_pushes> wait() {
    thread_.join();
    return *sent_;
  }

 private:
  running_load() = default;
  std::unique_ptr<open_loop_sender> sender_;
  std::optional<result<sent_pushes>> sent_;
  std::jthread thread_;
};

/// Single events one after the other, each until it is accepted.
class probe_sender {
 public:
  static result<std::unique_ptr<probe_sender>> open(const freshness_options& options) {
    std::unique_ptr<probe_sender> made(new probe_sender(options));
    actors::event_client::options how;
    how.sender = "probe";
    auto client = actors::event_client::open(made->context_, options.events, how);
    if (!client) return client.error();
    made->client_ = std::move(*client);
    return made;
  }
  ~probe_sender() {
    thread_ = std::jthread();
    if (client_) client_->stop();
  }
  void begin() {
    thread_ = std::jthread([this](const std::stop_token& ending) { run(ending); });
  }
  result<std::vector<probe_event>> end() {
    thread_.request_stop();
    thread_.join();
    if (failed_) return *failed_;
    return std::move(probes_);
  }

 private:
  explicit probe_sender(const freshness_options& options) : every_ms_(options.probe_ms) {}
  void run(const std::stop_token& ending) {
    available_options one;
    one.batch = 1;
    auto due = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; !ending.stop_requested(); ++i) {
      due += std::chrono::milliseconds(every_ms_);
      std::this_thread::sleep_until(due);
      probe_event probe;
      probe.sent_ns = time_.steady_ns();
      const frame event = make_labelled_batch(one, probe_numbers_from + i, time_.now_ms());
      if (auto pushed = client_->push(event); !pushed) failed_ = pushed.error();
      if (auto flushed = client_->flush(30s); !flushed) failed_ = flushed.error();
      if (failed_) return;
      probe.accepted_ns = time_.steady_ns();
      probe.accepted_ms = time_.now_ms();
      probes_.push_back(probe);
    }
  }

  const std::uint32_t every_ms_;
  system_clock time_;
  actors::transport_context context_;
  std::unique_ptr<actors::event_client> client_;
  std::vector<probe_event> probes_;  // of the thread, until it has ended
  std::optional<error> failed_;      // likewise
  std::jthread thread_;
};

/// Asks for a prediction again and again and keeps what the answers say of the rows.
class asker {
 public:
  static result<std::unique_ptr<asker>> open(const freshness_options& options) {
    auto line = http_line::connect(options.address);
    if (!line) return line.error();
    std::unique_ptr<asker> made(new asker(options));
    made->line_ = std::move(*line);
    return made;
  }
  /// Asks until `ends` (steady), or until the stamp is past `through_ms` when there is one.
  result<void> ask_until(std::uint64_t ends_ns, std::optional<std::uint64_t> through_ms = {}) {
    auto due = std::chrono::steady_clock::now();
    while (time_.steady_ns() < ends_ns) {
      due = std::max(due + std::chrono::milliseconds(every_ms_), std::chrono::steady_clock::now());
      std::this_thread::sleep_until(due);
      const std::uint64_t asked_ns = time_.steady_ns();
      auto answer = line_->ask(request_, 10s);
      if (!answer) return answer.error();
      if (answer->status != 200)
        return error{errc::unavailable, "a prediction was answered " + answer->body};
      const std::uint64_t now_ns = time_.steady_ns();
      took_ms_.push_back(static_cast<double>(now_ns - asked_ns) / 1e6);
      const std::uint64_t through = whole_in(answer->body, "applied_through_ms");
      answers_.push_back({now_ns, time_.now_ms(), through});
      const std::uint64_t version = whole_in(answer->body, "model_version");
      if (version < version_) ++went_back_;
      version_ = std::max(version, version_);
      if (through_ms && through >= *through_ms) return {};
    }
    return {};
  }
  /// Forgets what it saw so far.
  void begin_anew() {
    answers_.clear();
    took_ms_.clear();
  }
  const std::vector<stamped_answer>& answers() const { return answers_; }
  void add_to(freshness_figures& into) {
    into.went_back += went_back_;
    if (took_ms_.empty()) return;
    std::ranges::sort(took_ms_);
    into.predict_p50_ms = took_ms_[took_ms_.size() / 2];
    into.predict_p99_ms = took_ms_[took_ms_.size() * 99 / 100];
  }

 private:
  explicit asker(const freshness_options& options)
      : every_ms_(options.ask_ms),
        request_(http_text("/v1/models/bench:predict",
                           R"({"instances":[{"user":"u00000007","item":"i00000013"}]})")) {}

  const std::uint32_t every_ms_;
  const std::string request_;
  system_clock time_;
  std::unique_ptr<http_line> line_;
  std::vector<stamped_answer> answers_;
  std::vector<double> took_ms_;
  std::uint64_t version_ = 0;
  std::uint64_t went_back_ = 0;
};

struct job_counts {
  std::uint64_t accepted = 0;
  std::uint64_t learned = 0;
};

result<job_counts> count_samples(const std::string& address) {
  auto line = http_line::connect(address);
  if (!line) return line.error();
  const auto answer = (*line)->ask(http_text("/v1/status"), 10s);
  if (!answer) return answer.error();
  return job_counts{whole_in(answer->body, "accepted"), whole_in(answer->body, "samples")};
}

std::uint64_t in_seconds(const system_clock& time, std::uint64_t seconds) {
  return time.steady_ns() + seconds * 1'000'000'000;
}

// Load all the while; probes and what is counted in its middle.
result<freshness_figures> measure(const freshness_options& options) {
  const system_clock time;
  auto asks = asker::open(options);
  if (!asks) return asks.error();
  auto probing = probe_sender::open(options);
  if (!probing) return probing.error();
  auto load = running_load::begin(options);
  if (!load) return load.error();
  if (auto warm = (*asks)->ask_until(in_seconds(time, options.warm_seconds)); !warm)
    return warm.error();
  (*asks)->begin_anew();
  const auto before = count_samples(options.status);
  const std::uint64_t begun_ns = time.steady_ns();
  (*probing)->begin();
  if (auto asked = (*asks)->ask_until(in_seconds(time, options.seconds)); !asked)
    return asked.error();
  const auto probes = (*probing)->end();
  if (!probes) return probes.error();
  const double passed = static_cast<double>(time.steady_ns() - begun_ns) / 1e9;
  const auto after = count_samples(options.status);
  if (!before) return before.error();
  if (!after) return after.error();
  const std::uint64_t last_ms = probes->empty() ? 0 : probes->back().accepted_ms;
  if (auto asked = (*asks)->ask_until(in_seconds(time, 10), last_ms); !asked) return asked.error();
  const auto sent = (*load)->wait();
  if (!sent) return sent.error();
  freshness_figures seen;
  add_freshness(*probes, (*asks)->answers(), seen);
  (*asks)->add_to(seen);
  seen.samples = after->accepted - before->accepted;
  seen.samples_per_second = static_cast<double>(after->learned - before->learned) / passed;
  seen.backlog_end = after->accepted - std::min(after->accepted, after->learned);
  seen.refused = sent->refused + sent->sent_again;
  return seen;
}

result<freshness_figures> measure_all(freshness_options options) {
  options.events = "tcp://127.0.0.1:" + std::to_string(free_port());
  options.address = "127.0.0.1:" + std::to_string(free_port());
  options.status = "127.0.0.1:" + std::to_string(free_port());
  const auto job = write_freshness_job(options);
  if (!job) return job.error();
  const std::string state = options.dir / "state";
  auto running = child::start({"run", *job, "--state", state, "--json"}, {.piped = true});
  if (!running) return running.error();
  if (auto ready = wait_until_ready(options.address, patience); !ready) return ready.error();
  auto client = child::start(freshness_arguments("freshness-client", options), {.piped = true});
  if (!client) return client.error();
  return parse_freshness_figures(client->read_line());
}

}  // namespace

int run_bench_freshness(const freshness_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [&options](const std::filesystem::path& folder) {
      freshness_options inside = options;
      inside.dir = folder;
      inside.inside = true;
      inside.command = command_line(options);
      return freshness_arguments("freshness", inside);
    };
    return run_in_own_session("freshness", options.dir, bytes_free, arguments, stop);
  }
  end_with_parent();
  const std::string weight = raise_autogroup_weight();
  const auto seen = measure_all(options);
  if (!seen) return complain("freshness", seen.error());
  const std::string text =
      options.json ? to_json(options, *seen, weight) + "\n" : to_table(options, *seen);
  std::fputs(text.c_str(), stdout);
  return is_within_limits(*seen) ? 0 : 1;
}

int run_freshness_client(const freshness_options& options) {
  end_with_parent();
  keep_large_blocks();
  const auto seen = measure(options);
  if (!seen) return complain("freshness", seen.error());
  std::printf("%s\n", to_line(*seen).c_str());
  std::fflush(stdout);
  return 0;
}

}  // namespace headrace::bench
