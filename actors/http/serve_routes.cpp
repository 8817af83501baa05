#include "actors/http/serve_routes.hpp"

#include "actors/http/event_answer.hpp"
#include "base/check.hpp"
#include "base/json_line.hpp"
#include "base/log.hpp"
#include "serve/answerer.hpp"
#include "worker/metrics/latency_histogram.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t no_body = 0;
constexpr std::string_view models_path = "/v1/models/";
constexpr std::string_view tables_path = "/v1/embeddings/";
constexpr std::string_view v2_models_path = "/v2/models/";
constexpr std::size_t answer_bytes = 16'384;  // of 500 candidates

http_answer json_answer(std::string body) {
  http_answer answer;
  answer.body = std::move(body);
  return answer;
}

http_answer refusal(const error& failure, std::uint32_t retry_after_s) {
  http_answer answer;
  answer.status = http_status_of(failure.code);
  if (answer.status == 429 || answer.status == 503) answer.retry_after_s = retry_after_s;
  answer.body =
      json_line().add("error", failure.detail).add("code", name(failure.code)).text() + '\n';
  return answer;
}

// "clicks:predict" → {"clicks", "predict"}.
std::pair<std::string_view, std::string_view> split_verb(std::string_view rest) {
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return {rest, {}};
  return {rest.substr(0, colon), rest.substr(colon + 1)};
}

}  // namespace

struct serve_routes::state {
  enum class what : std::uint8_t { predict, infer, explain, lookup };
  struct request {
    what asked = what::predict;
    std::string table;  // of a look-up
    std::string body;
    http_reply reply;
    std::uint64_t since_ns = 0;
  };
  using serve_answerer = serve::answerer;

  state(parts given, const clock& when, settings wanted)
      : from(std::move(given)), time(when), how(wanted) {
    CHECK(from.model != nullptr && from.rows != nullptr);
    CHECK(how.threads >= 1 && how.waiting_max >= 1 && how.batch_samples >= 1);
    for (std::uint32_t i = 0; i < how.threads; ++i) threads.emplace_back([this] { run(); });
  }
  ~state() {
    {
      const std::lock_guard hold(lock);
      stopping = true;
    }
    changed.notify_all();
    threads.clear();
    for (request& left : waiting) refuse(left.reply, {errc::unavailable, "the server stops"});
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  // ---- the server's thread ----

  result<void> check_model(std::string_view name) const {
    if (name == from.model->name()) return {};
    return error{
        errc::not_found,
        "model '" + std::string(name) + "' is not here; there is '" + from.model->name() + "'"};
  }

  void take_model(http_request asked, const http_reply& reply) {
    const auto [name, verb] = split_verb(std::string_view(asked.path).substr(models_path.size()));
    if (auto known = check_model(name); !known) return refuse(reply, known.error());
    if (verb == "predict") return put(what::predict, {}, std::move(asked.body), reply);
    if (verb == "explain") return put(what::explain, {}, std::move(asked.body), reply);
    refuse(reply,
           {errc::not_found,
            "':" + std::string(verb) + "' is not known; there are :predict and :explain"});
  }

  void take_table(http_request asked, const http_reply& reply) {
    const auto [name, verb] = split_verb(std::string_view(asked.path).substr(tables_path.size()));
    if (verb == "lookup") return put(what::lookup, std::string(name), std::move(asked.body), reply);
    refuse(reply, {errc::not_found, "':" + std::string(verb) + "' is not known; there is :lookup"});
  }

  // What stands behind /v2/models/: M, M/ready, M/infer.
  result<std::string_view> v2_rest(std::string_view path) const {
    const std::string_view rest = path.substr(v2_models_path.size());
    const auto slash = rest.find('/');
    if (auto known = check_model(rest.substr(0, slash)); !known) return known.error();
    return slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  }
  static error not_there(std::string_view path) {
    return {errc::not_found,
            "'" + std::string(path) + "' is not known; of a model there are /ready and /infer"};
  }
  void take_v2(http_request asked, const http_reply& reply) {
    const auto rest = v2_rest(asked.path);
    if (!rest) return refuse(reply, rest.error());
    if (*rest != "infer") return refuse(reply, not_there(asked.path));
    put(what::infer, {}, std::move(asked.body), reply);
  }
  void tell_v2(const http_request& asked, const http_reply& reply) {
    const auto rest = v2_rest(asked.path);
    if (!rest) return refuse(reply, rest.error());
    if (*rest == "ready") return tell_ready(reply);
    if (!rest->empty()) return refuse(reply, not_there(asked.path));
    reply(json_answer(serve::described_v2(*from.model)));
  }
  void tell_model(const http_request& asked, const http_reply& reply) {
    const auto name = std::string_view(asked.path).substr(models_path.size());
    if (auto known = check_model(name); !known) return refuse(reply, known.error());
    reply(json_answer(serve::described(*from.model, from.rows->stamp(), time.now_ms())));
  }
  void tell_ready(const http_reply& reply) const {
    std::string why = from.rows->stamp().whole ? "" : "the replica does not have all rows yet";
    if (why.empty() && from.not_ready != nullptr) why = from.not_ready();
    if (!why.empty()) return reply(refusal({errc::unavailable, why}, how.retry_after_s));
    reply(
        json_answer(json_line().add("name", from.model->name()).add("ready", true).text() + '\n'));
  }

  void put(what asked, std::string table, std::string body, const http_reply& reply) {
    std::unique_lock hold(lock);
    if (stopping || waiting.size() >= how.waiting_max) {
      const bool stops = stopping;
      hold.unlock();
      return refuse(reply,
                    stops ? error{errc::unavailable, "the server stops"}
                          : error{errc::overloaded, "too many requests wait; ask again later"});
    }
    waiting.push_back({asked, std::move(table), std::move(body), reply, time.steady_ns()});
    hold.unlock();
    ++requests;
    changed.notify_one();
  }

  // ---- any thread ----

  void refuse(const http_reply& reply, const error& failure) {
    http_answer answer = refusal(failure, how.retry_after_s);
    auto& count = answer.status == 503 ? not_ready : answer.status == 429 ? turned_away : refused;
    ++count;
    reply(std::move(answer));
  }

  // ---- scoring threads ----

  void run() {
    while (!stopped()) {
      try {
        serve_answerer answers(from.model, from.rows, how.samples_max);
        if (auto warmed = answers.warm(how.batch_samples); !warmed)
          log_error("serve.not_warm", {{"reason", describe(warmed.error())}});
        while (auto first = next()) answer(std::move(*first), answers);
      } catch (const std::exception& failure) {
        // Requests in hand are answered 500; a new answerer knows nothing of them.
        log_error("serve.not_answered", {{"reason", failure.what()}});
      }
    }
  }
  bool stopped() {
    const std::lock_guard hold(lock);
    return stopping;
  }

  std::optional<request> next() {
    std::unique_lock hold(lock);
    changed.wait(hold, [this] { return stopping || !waiting.empty(); });
    if (stopping) return std::nullopt;
    request taken = std::move(waiting.front());
    waiting.pop_front();
    return taken;
  }
  static bool is_predicted(what asked) { return asked == what::predict || asked == what::infer; }
  // Another for the batch: one that waits, or comes until then.
  std::optional<request> next_predicted(std::uint64_t until_ns) {
    std::unique_lock hold(lock);
    while (!stopping && waiting.empty()) {
      const std::uint64_t now = time.steady_ns();
      if (now >= until_ns) return std::nullopt;
      changed.wait_for(hold, std::chrono::nanoseconds(until_ns - now));
    }
    if (stopping || !is_predicted(waiting.front().asked)) return std::nullopt;
    request taken = std::move(waiting.front());
    waiting.pop_front();
    return taken;
  }

  void answer(request first, serve_answerer& answers) {
    if (is_predicted(first.asked)) return predict(std::move(first), answers);
    const auto made = first.asked == what::explain
                          ? answers.explain(first.body, time.now_ms())
                          : answers.lookup(first.table, first.body, time.now_ms());
    if (!made) return refuse(first.reply, made.error());
    tell(first, *made, false);
  }

  void predict(request first, serve_answerer& answers) {
    std::vector<request> batch;
    const std::uint64_t until_ns = first.since_ns + std::uint64_t{how.batch_delay_us} * 1'000;
    std::optional<request> each = std::move(first);
    while (each) {
      const auto as =
          each->asked == what::infer ? serve_answerer::form::v2 : serve_answerer::form::friendly;
      if (auto added = answers.add(each->body, as); added) {
        batch.push_back(std::move(*each));
      } else {
        refuse(each->reply, added.error());
      }
      if (answers.samples() >= how.batch_samples) break;
      each = next_predicted(batch.empty() ? 0 : until_ns);
    }
    if (batch.empty()) return;
    ++batches;
    auto made = answers.predict(time.now_ms());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (made) {
        tell(batch[i], (*made)[i], true);
      } else {
        refuse(batch[i].reply, made.error());
      }
    }
  }

  void tell(const request& of, const serve_answerer::answered& made, bool predicted) {
    ++answered;
    unknown_ids += made.unknown_ids;
    if (predicted) samples += made.samples;
    of.reply(json_answer(made.text));
    if (!predicted) return;
    const std::uint64_t took_us = (time.steady_ns() - of.since_ns) / 1'000;
    const std::lock_guard hold(figures_lock);
    took.add(took_us);
  }

  const parts from;
  const clock& time;
  const settings how;

  std::atomic<std::uint64_t> requests{0};  // counts guard no other memory
  std::atomic<std::uint64_t> answered{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> turned_away{0};
  std::atomic<std::uint64_t> not_ready{0};
  std::atomic<std::uint64_t> samples{0};
  std::atomic<std::uint64_t> unknown_ids{0};
  std::atomic<std::uint64_t> batches{0};

  std::mutex figures_lock;         // guards `took`
  worker::latency_histogram took;  // microseconds

  std::mutex lock;  // guards what follows
  std::condition_variable changed;
  std::deque<request> waiting;
  bool stopping = false;
  std::vector<std::jthread> threads;
};

serve_routes::serve_routes(parts from, const clock& time, settings how)
    : state_(std::make_unique<state>(std::move(from), time, how)) {}
serve_routes::~serve_routes() = default;

std::vector<http_route> serve_routes::routes() {
  state* const of = state_.get();
  const auto plain_only = [](const http_request& head,
                             std::uint64_t) -> std::optional<http_answer> {
    if (head.content_encoding.empty() || head.content_encoding == "identity") return std::nullopt;
    http_answer answer = refusal({errc::malformed, "Content-Encoding: none is taken here"}, 0);
    answer.status = 415;
    return answer;
  };
  const auto post = [&](std::string_view path,
                        void (state::*take)(http_request, const http_reply&)) {
    return http_route{"POST",
                      std::string(path) + '*',
                      [of, take](http_request asked, const http_reply& reply) {
                        (of->*take)(std::move(asked), reply);
                      },
                      of->how.body_bytes_max,
                      plain_only,
                      answer_bytes};
  };
  const auto get = [](std::string path, http_handler handle) {
    return http_route{"GET", std::move(path), std::move(handle), no_body, nullptr, answer_bytes};
  };
  return {
      post(models_path, &state::take_model),
      post(tables_path, &state::take_table),
      post(v2_models_path, &state::take_v2),
      get(std::string(models_path) + '*',
          [of](const http_request& asked, const http_reply& reply) {
            of->tell_model(asked, reply);
          }),
      get(std::string(v2_models_path) + '*',
          [of](const http_request& asked, const http_reply& reply) { of->tell_v2(asked, reply); }),
      get("/v2/health/live",
          [](const http_request&, const http_reply& reply) {
            reply(json_answer("{\"live\":true}\n"));
          }),
      get("/v2/health/ready",
          [of](const http_request&, const http_reply& reply) { of->tell_ready(reply); })};
}

serve_routes::counters serve_routes::count() const {
  counters made;
  made.requests = state_->requests.load();
  made.answered = state_->answered.load();
  made.refused = state_->refused.load();
  made.turned_away = state_->turned_away.load();
  made.not_ready = state_->not_ready.load();
  made.samples = state_->samples.load();
  made.unknown_ids = state_->unknown_ids.load();
  made.batches = state_->batches.load();
  {
    const std::lock_guard hold(state_->lock);
    made.waiting = state_->waiting.size();
  }
  const std::lock_guard hold(state_->figures_lock);
  made.p50_us = state_->took.quantile(0.5);
  made.p99_us = state_->took.quantile(0.99);
  return made;
}

}  // namespace headrace::actors
