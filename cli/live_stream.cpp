#include "cli/live_stream.hpp"

#include "actors/http/event_answer.hpp"
#include "actors/http/plain_routes.hpp"
#include "base/json_line.hpp"
#include "base/log.hpp"
#include "cli/event_tokens.hpp"
#include "cli/job_feed.hpp"
#include "schemas/event.hpp"
#include "storage/rocks_spill_store.hpp"
#include "storage/segment_log.hpp"
#include "worker/ingest/crossed_source.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t refusal_counts_ns = 10'000'000'000;
constexpr std::uintmax_t log_room_bytes_min = std::uintmax_t{64} << 20;  // a segment of the log
constexpr std::size_t status_bytes_max = std::size_t{64} << 10;  // with a few hundred partitions

std::vector<std::string> actions_of(const job& job) {
  return job.join ? job.join->actions : std::vector<std::string>{};
}

// How long after the last event windows may be open.
std::uint64_t idle_ms(const job& job) {
  if (!job.join) return 0;
  const worker::join_spec& join = job.join->how;
  return join.window_ms + join.out_of_order_ms + join.correct_ms + 1'000;
}

// Whether it is the token of some producer; of whom, the intake looks at.
result<void> known(const std::vector<worker::producer_token>& tokens, std::string_view given) {
  bool found = tokens.empty();
  for (const auto& one : tokens) found |= worker::is_same_secret(given, one.token);
  if (found) return {};
  return error{errc::unauthorized,
               given.empty() ? "a token is needed" : "this token is not known here"};
}

// For those who may push only: figures say as much of a job as its events do.
actors::http_route guarded(const std::vector<worker::producer_token>& tokens,
                           actors::http_route route) {
  route.admit = [&tokens](const actors::http_request& head, std::uint64_t) {
    const auto let_in = known(tokens, head.bearer);
    return let_in ? std::nullopt : std::optional(actors::answer_of(let_in.error()));
  };
  return route;
}

void add_join(const worker::join_figures& now, json_line& line) {
  line.begin_object("join")
      .add("watermark_ms", now.watermark_ms)
      .add("pending", now.pending)
      .add("payload_bytes", now.payload_bytes)
      .add("payload_bytes_most", now.payload_bytes_most)
      .add("spilled", now.spilled)
      .add("spilled_most", now.spilled_most);
  const auto& count = now.count;
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::uint64_t>>{
           {"impressions", count.impressions},
           {"actions", count.actions},
           {"matched", count.matched},
           {"correcting", count.correcting},
           {"corrections", count.corrections},
           {"positives", count.positives},
           {"negatives", count.negatives},
           {"left_out", count.left_out},
           {"expired_actions", count.expired_actions},
           {"late_events", count.late_events},
           {"repeated", count.repeated},
           {"repeated_actions", count.repeated_actions},
           {"closed_early", count.closed_early},
           {"forgotten_early", count.forgotten_early}})
    line.add(name, value);
  line.end();
}

void add_texts(const worker::texts_figures& texts, json_line& line) {
  line.begin_object("texts").add("taken", texts.count.taken).add("known", texts.known);
  for (std::size_t why = 0; why < worker::text_faults; ++why)
    line.add(worker::name(static_cast<worker::text_fault>(why)), texts.count.refused[why]);
  line.end();
}

void add_windows(const worker::windows_figures& windows, json_line& line) {
  line.begin_object("windows");
  for (const worker::window_figures& each : windows.each) {
    line.begin_object(each.name)
        .add("keys", each.keys)
        .add("events", each.events)
        .add("counted", each.count.added)
        .add("late", each.count.late)
        .add("lacking", each.lacking)
        .add("overflowed", each.count.overflowed)
        .add("forgotten", each.count.forgotten)
        .add("forgotten_events", each.count.forgotten_events)
        .end();
  }
  line.end();
  if (!windows.impressions) return;
  line.begin_object("window_impressions")
      .add("kept", windows.impressions->kept)
      .add("bytes", windows.impressions->bytes)
      .add("forgotten", windows.impressions->forgotten)
      .end();
}

}  // namespace

result<std::unique_ptr<live_stream>> live_stream::open(const job& job,
                                                       const storage::job_folder& folder,
                                                       const clock& time) {
  std::unique_ptr<live_stream> made(new live_stream(job));
  made->time_ = &time;
  made->cut_file_ = folder.worker() / "events.cut";
  made->spill_folder_ = folder.worker() / "join.spill";
  auto tokens = read_tokens(job.gate);
  if (!tokens) return tokens.error();
  made->tokens_ = std::move(*tokens);
  auto cut = worker::live_source::load_cut(made->cut_file_);
  if (!cut) return cut.error();
  made->cut_ = std::move(*cut);
  storage::segment_log::options how;
  how.folder = made->log_folder_ = folder.event_log(job.source.name);
  how.mode = job.durability.log;
  how.continue_after = made->cut_.through;  // a log that lost its end begins anew behind the cut
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  auto schema = worker::event_schema::bind(job.source, actions_of(job));
  if (!schema) return schema.error();
  worker::event_intake::settings intake;
  intake.gate = job.gate.gate;
  std::random_device random;
  intake.gate.secret = std::uint64_t{random()} << 32 | random();
  intake.producers = job.gate.producers;
  intake.producers.tokens = made->tokens_;
  intake.idle_ms = idle_ms(job);
  auto opened =
      worker::event_intake::open(std::move(*log),
                                 std::move(*schema),
                                 intake,
                                 {made->cut_.through, made->cut_.partitions, made->cut_.stamp_ms},
                                 time);
  if (!opened) return opened.error();
  made->intake_ = std::move(*opened);
  return made;
}

live_stream::~live_stream() { static_cast<void>(stop()); }  // who needs to know calls stop()

result<std::unique_ptr<worker::event_source>> live_stream::source() {
  auto schema = worker::event_schema::bind(job_.source, actions_of(job_));
  if (!schema) return schema.error();
  worker::live_source::settings how;
  if (job_.join) {
    how.join = job_.join->how;
    how.board = join_board_;
    if (job_.join->how.memory_bytes_max > 0) {
      auto spill = storage::rocks_spill_store::open(spill_folder_);
      if (!spill) return spill.error();
      how.spill = std::move(*spill);
    }
  }
  how.of_windows = window_board_;
  how.of_texts = text_board_;
  how.source = job_.source;
  how.cut_file = cut_file_;
  how.may_lose_ends = job_.durability.log != schemas::log_mode::fsync;
  how.keep_ms = job_.source.live.keep_ms;
  how.keep_bytes = job_.source.live.keep_bytes;
  auto opened = worker::live_source::open(
      intake_, std::move(*schema), std::move(how), std::exchange(cut_, {}));
  if (!opened) return opened.error();
  if (job_.source.crosses.empty()) return std::unique_ptr<worker::event_source>(std::move(*opened));
  return std::unique_ptr<worker::event_source>(
      std::make_unique<worker::crossed_source>(std::move(*opened), job_.source.crosses));
}

result<void> live_stream::serve(actors::transport_context& context,
                                std::shared_ptr<actors::progress_board> board) {
  board_ = std::move(board);
  intake_->on_broken([board = board_](const error& why) { board->end(why); });
  if (auto served = serve_zmq(context); !served) return served;
  if (auto fetched = fetch(); !fetched) return fetched;
  if (auto served = serve_http(); !served) return served;  // last: it looks at the others
  for (const std::string& endpoint : endpoints_)
    log_info("events.listening", {{"endpoint", endpoint}});
  return {};
}

// Fronts ask for some token before they read anything; the intake asks for the producer's own.
result<void> live_stream::serve_http() {
  const bool is_pushed = !job_.source.live.http.empty();
  if (is_pushed) {
    routes_ = std::make_unique<actors::event_routes>(
        actors::event_routes::way_in{
            [this](worker::event_intake::request batch) { intake_->put(std::move(batch)); },
            [this] { intake_->wake(); }},
        [this](const actors::event_routes::claim& by) { return known(tokens_, by.token); },
        *time_,
        actors::event_routes::settings{});
  }
  auto server = actors::http_server::open(job_.http, routes());
  if (!server && !is_pushed)
    return error{server.error().code, "source.status: " + server.error().detail};
  if (!server) return server.error();
  http_ = std::move(*server);
  for (const std::string& address : http_->endpoints()) {
    if (is_pushed) endpoints_.push_back("http://" + address + "/v1/events");
    if (!is_pushed)
      log_info("status.listening", {{"endpoint", "http://" + address + "/v1/status"}});
  }
  return {};
}

std::vector<actors::http_route> live_stream::routes() {
  auto routes = actors::plain_routes(
      {[this] { return not_ready(); }, [this] { return metrics_.text(figures()); }});
  for (auto& each : routes) {
    if (each.path == "/metrics") each = guarded(tokens_, std::move(each));
  }
  const auto tell = [this](const actors::http_request&, const actors::http_reply& reply) {
    reply({200, status() + "\n"});
  };
  routes.push_back(guarded(tokens_, {"GET", "/v1/status", tell, 0, nullptr, status_bytes_max}));
  if (!routes_) return routes;
  for (auto& each : routes_->routes()) routes.push_back(std::move(each));
  return routes;
}

std::string live_stream::not_ready() const {
  if (const auto why = intake_->broken()) return describe(*why) + ": restart this process";
  if (const auto failure = board_->failure()) return describe(*failure);
  if (const auto refused = intake_->refused(); refused && still_refuses(*refused))
    return describe(refused->why);
  return board_->ended() ? "the run has ended" : "";
}

// Only a batch can show that the log takes them again, and none may come while this says that it
// doesn't: so that ends by itself when there is room on the disk.
bool live_stream::still_refuses(const worker::event_intake::refusal& last) const {
  if (time_->steady_ns() - last.at_ns < refusal_counts_ns) return true;
  std::error_code failed;
  const auto room = std::filesystem::space(log_folder_, failed);
  return !failed && room.available < log_room_bytes_min;
}

live_figures live_stream::figures() const {
  live_figures now{intake_->count(), board_->read(), {}, window_board_->read(), {}};
  if (job_.join) now.joined = join_board_->read();
  if (!job_.source.texts.empty()) now.texts = text_board_->read();
  return now;
}

result<void> live_stream::serve_zmq(actors::transport_context& context) {
  if (job_.source.live.zmq.empty()) return {};
  front_ = std::make_unique<actors::event_front>(
      [this](worker::event_intake::request batch) { intake_->offer(std::move(batch)); },
      [this](std::string_view token) { return known(tokens_, token); });
  auto served = actors::router::open(context, job_.source.live.zmq, front_->handler());
  if (!served) return served.error();
  router_ = std::move(*served);
  for (const std::string& endpoint : router_->endpoints()) endpoints_.push_back(endpoint);
  return {};
}

result<void> live_stream::fetch() {
  if (!worker::is_of_broker(job_.source.arrives)) return {};
  const auto spec = feed_of(job_);
  if (!spec) return spec.error();
  worker::feed_positions next;
  for (const auto& [partition, end] : intake_->partitions()) next[partition] = end;
  auto feed = worker::open_feed(*spec, next);
  if (!feed) return feed.error();
  feed_ = std::make_unique<actors::feed_front>(
      std::move(*feed),
      [this](worker::event_intake::request batch) { intake_->offer(std::move(batch)); },
      *time_,
      [board = board_](error why) { board->end(std::move(why)); });
  return {};
}

std::string live_stream::status() const {
  const auto [counted, learned, joined, windows, texts] = figures();
  json_line line;
  line.add("job", job_.name)
      .add("source", job_.source.name)
      .add("sample_log", name(job_.samples.engine))
      .add("batches", counted.batches)
      .add("bytes", counted.bytes)
      .add("accepted", counted.events.accepted)
      .add("duplicates", counted.events.duplicates)
      .begin_object("refused");
  for (std::size_t fault = 0; fault < counted.events.refused.size(); ++fault) {
    if (counted.events.refused[fault] == 0) continue;
    line.add(schemas::name(static_cast<schemas::event_fault>(fault)),
             counted.events.refused[fault]);
  }
  line.end()
      .add("malformed_batches", counted.malformed)
      .add("overloaded_batches", counted.overloaded + counted.producers.overloaded)
      .add("unauthorized_batches", counted.producers.unauthorized)
      .add("failed_batches", counted.failed)
      .add("unread_bytes", counted.unread_bytes)
      .add("samples", learned.samples)
      .add("available_ms_p50", learned.available_ms_p50)
      .add("available_ms_p99", learned.available_ms_p99);
  if (texts) add_texts(*texts, line);
  if (joined) add_join(*joined, line);
  if (!windows.each.empty()) add_windows(windows, line);
  if (feed_) line.add_raw("broker", feed_->status());
  return line.text();
}

void live_stream::close() {
  if (http_) http_->stop();
  if (router_) router_->stop();
  if (feed_) feed_->stop();
}

result<void> live_stream::stop() {
  close();
  http_.reset();
  routes_.reset();
  router_.reset();
  return intake_ ? intake_->stop() : result<void>();
}

}  // namespace headrace::cli
