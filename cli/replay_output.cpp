#include "cli/replay_output.hpp"

#include "actors/event_client.hpp"
#include "actors/transport/context.hpp"
#include "base/parse_number.hpp"
#include "cli/standard_output.hpp"
#include "schemas/event.hpp"
#include "storage/http_exchange.hpp"
#include "worker/events/event_text.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t text_bytes = std::size_t{1} << 16;
constexpr std::size_t batch_events = 1'000;
constexpr std::size_t batch_bytes = std::size_t{4} << 20;
constexpr std::chrono::seconds silence_max{60};
constexpr std::chrono::milliseconds look_every{100};

class line_output final : public replay_output {
 public:
  result<void> add(const event_log_view::record& record) override {
    for (std::size_t i = 0; i < record.batch->events.size(); ++i) {
      if (!record.has(i)) continue;
      text_ += '{';
      worker::append_event_members(*record.batch, record.batch->events[i], record.id_of(i), text_);
      text_ += "}\n";
      ++gathered_;
    }
    last_ = record.position;
    return text_.size() < text_bytes ? result<void>() : flush();
  }
  result<void> flush() override {
    if (auto wrote = write_output(text_); !wrote) return wrote;
    text_.clear();
    count_.accepted += std::exchange(gathered_, 0);
    reached_ = last_;
    return {};
  }
  result<void> finish() override { return flush(); }
  lsn reached() const override { return reached_; }
  counters count() const override { return count_; }

 private:
  std::string text_;
  std::uint64_t gathered_ = 0;
  lsn last_;
  lsn reached_;
  counters count_;
};

/// Gathers events into batches of one producer and one version.
class batch_output : public replay_output {
 public:
  explicit batch_output(replay_target target) : target_(std::move(target)) {}
  result<void> add(const event_log_view::record& record) override {
    const schemas::event_batch& from = *record.batch;
    const std::string_view producer =
        target_.producer.empty() ? from.producer : std::string_view(target_.producer);
    const auto& held = builder_.batch();
    const bool fits = held.producer == producer && held.schema_version == from.schema_version &&
                      held.names.size() + from.names.size() <= schemas::batch_names_max;
    if (!begun_ || !fits) {
      if (auto sent = flush(); !sent) return sent;
      builder_.begin(producer, from.schema_version);
      begun_ = true;
    }
    for (std::size_t i = 0; i < from.events.size(); ++i) {
      if (!record.has(i)) continue;
      worker::copy_event(from, from.events[i], record.id_of(i), builder_);
      if (builder_.events() < batch_events && builder_.bytes() < batch_bytes) continue;
      if (auto sent = send_gathered(); !sent) return sent;
      builder_.begin(producer, from.schema_version);
    }
    last_ = record.position;
    return {};
  }
  result<void> flush() override {
    if (builder_.events() == 0) return {};
    begun_ = false;
    auto sent = send_gathered();
    builder_.begin("");
    return sent;
  }

 protected:
  /// Everything through record `holds` is in it, or was sent before.
  virtual result<void> send(frame batch, std::uint64_t events, lsn holds) = 0;
  const replay_target& target() const { return target_; }
  lsn last() const { return last_; }

 private:
  result<void> send_gathered() { return send(builder_.finish(), builder_.events(), last_); }

  replay_target target_;
  schemas::event_batch_builder builder_;
  bool begun_ = false;
  lsn last_;
};

class zmq_output final : public batch_output {
 public:
  static result<std::unique_ptr<replay_output>> open(const replay_target& target,
                                                     const std::string& endpoint) {
    std::unique_ptr<zmq_output> made(new zmq_output(target));
    auto client = actors::event_client::open(
        made->transport_, endpoint, {.sender = "replay", .token = target.token});
    if (!client) return client.error();
    made->client_ = std::move(*client);
    return std::unique_ptr<replay_output>(std::move(made));
  }
  ~zmq_output() override {
    if (client_) client_->stop();  // what answers come write to us
  }
  result<void> finish() override {
    if (auto sent = flush(); !sent) return sent;
    auto answered = while_answers_come([this] { return client_->flush(look_every); });
    if (answered) reached_ = last().value;
    return answered;
  }
  lsn reached() const override { return lsn{reached_}; }
  counters count() const override {
    const auto now = client_->count();
    return {now.accepted, now.duplicates, now.refused, now.last_refusal};
  }

 private:
  explicit zmq_output(const replay_target& target) : batch_output(target) {}

  result<void> send(frame batch, std::uint64_t, lsn holds) override {
    auto pushed = while_answers_come([&] {
      return client_->push(
          batch,
          [this, holds](const schemas::event_ack& ack) {
            if (ack.status != errc::ok) failed_ = true;
            if (!failed_) reached_ = holds.value;
          },
          look_every);
    });
    return pushed;
  }
  /// Again and again, as long as the target says anything.
  template <class Try>
  result<void> while_answers_come(const Try& attempt) {
    auto heard = steady::now();
    std::uint64_t answers = 0;
    while (true) {
      auto made = attempt();
      const auto now = client_->count();
      if (now.failed != 0) return error{errc::bad_input, "refused: " + now.last_refusal};
      if (made || (made.error().code != errc::overloaded && made.error().code != errc::timeout))
        return made;
      if (target().wait(0ms)) return error{errc::cancelled, "stopped"};
      if (std::exchange(answers, now.batches + now.overloaded) != now.batches + now.overloaded)
        heard = steady::now();
      if (steady::now() - heard > silence_max)
        return error{errc::timeout, target().uri + " did not answer for a minute"};
    }
  }

  // Written by the client's thread; each is one value, nothing else follows from it.
  std::atomic<std::uint64_t> reached_{0};
  std::atomic<bool> failed_{false};
  actors::transport_context transport_;
  std::unique_ptr<actors::event_client> client_;
};

/// The number behind `"name":` in an answer of docs/http.md.
std::optional<std::uint64_t> number_in(const std::string& answer, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  const auto at = answer.find(key);
  if (at == std::string::npos) return std::nullopt;
  const auto begin = at + key.size();
  const auto end = answer.find_first_not_of("0123456789", begin);
  return parse_number<std::uint64_t>(std::string_view(answer).substr(begin, end - begin));
}

class http_output final : public batch_output {
 public:
  explicit http_output(const replay_target& target) : batch_output(target), url_(target.uri) {
    if (url_.ends_with('/')) url_.pop_back();
    if (url_.find('/', url_.find("//") + 2) == std::string::npos) url_ += "/v1/events";
  }
  result<void> finish() override {
    auto sent = flush();
    if (sent) reached_ = last();
    return sent;
  }
  lsn reached() const override { return reached_; }
  counters count() const override { return count_; }

 private:
  result<void> send(frame batch, std::uint64_t events, lsn holds) override {
    storage::http_request request;
    request.method = "POST";
    request.url = url_;
    request.headers = {{"Content-Type", "application/x-capnp"}};
    if (!target().token.empty())
      request.headers.emplace_back("Authorization", "Bearer " + target().token);
    request.body = batch.bytes();
    auto heard = steady::now();
    while (true) {
      auto answer = http_.send(request);
      const int status = answer ? answer->status : 503;
      if (!answer && answer.error().code == errc::too_large) return answer.error();
      if (status == 429) heard = steady::now();
      if (status != 429 && status != 503) {
        auto settled = settle(*answer, events);
        if (settled) reached_ = holds;
        return settled;
      }
      if (steady::now() - heard > silence_max) {
        if (!answer) return answer.error();
        return error{errc::unavailable, url_ + ": " + answer->body};
      }
      const std::uint64_t ms =
          answer ? number_in(answer->body, "retry_after_ms").value_or(1'000) : 200;
      if (target().wait(std::chrono::milliseconds(std::min<std::uint64_t>(ms, 10'000))))
        return error{errc::cancelled, "stopped"};
    }
  }
  result<void> settle(const storage::http_response& answer, std::uint64_t events) {
    const auto refused = number_in(answer.body, "refused");
    if ((answer.status != 200 && answer.status != 400) || !refused)
      return error{errc::bad_input,
                   url_ + " answers " + std::to_string(answer.status) + ": " + answer.body};
    count_.accepted += number_in(answer.body, "accepted").value_or(0);
    count_.duplicates += number_in(answer.body, "duplicates").value_or(0);
    count_.refused += std::min(*refused, events);
    if (*refused > 0) count_.last_refusal = answer.body;
    return {};
  }

  std::string url_;
  storage::http_exchange http_{storage::http_exchange::limits{}};
  counters count_;
  lsn reached_;
};

}  // namespace

result<std::unique_ptr<replay_output>> open_replay_output(const replay_target& target) {
  using made = std::unique_ptr<replay_output>;
  const std::string& uri = target.uri;
  if (uri.empty()) return made(std::make_unique<line_output>());
  if (uri.starts_with("http://") || uri.starts_with("https://"))
    return made(std::make_unique<http_output>(target));
  if (uri.starts_with("zmq:///")) return zmq_output::open(target, "ipc://" + uri.substr(6));
  if (uri.starts_with("zmq://")) return zmq_output::open(target, "tcp://" + uri.substr(6));
  if (uri.starts_with("tcp://") || uri.starts_with("ipc://")) return zmq_output::open(target, uri);
  return error{
      errc::bad_config,
      "--to '" + uri + "': accepted are http://HOST:PORT, zmq://HOST:PORT and zmq:///PATH"};
}

}  // namespace headrace::cli
