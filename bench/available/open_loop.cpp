#include "bench/available/open_loop.hpp"

#include "actors/event_client.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "bench/available/processor_time.hpp"
#include "schemas/event.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace headrace::bench {
namespace {

constexpr std::uint64_t lead_ns = 20'000'000;  // the first push is made before it is due

/// `digits` last digits of `number` behind a letter: events are of the same size.
std::string text_of(char letter, std::uint64_t number, std::size_t digits) {
  std::string text(digits + 1, '0');
  text[0] = letter;
  for (std::size_t i = digits; i > 0; --i, number /= 10)
    text[i] = static_cast<char>('0' + number % 10);
  return text;
}

class sender final : public open_loop_sender {
 public:
  explicit sender(const available_options& options) : options_(options) {}
  ~sender() override {
    if (client_) client_->stop();
  }

  result<void> connect() {
    actors::event_client::options how;
    how.sender = "bench";
    auto client = actors::event_client::open(context_, options_.endpoint, how);
    if (!client) return client.error();
    client_ = std::move(*client);
    return {};
  }

  result<sent_pushes> send_all() override {
    sent_pushes sent;
    const std::uint64_t used = processor_us();
    sent.begin_ns = time_.steady_ns() + lead_ns;
    for (std::uint64_t i = 0; i < options_.pushes(); ++i) {
      const frame batch = make_labelled_batch(options_, i, time_.now_ms());
      sleep_until(sent.begin_ns + options_.due_ns(i));
      if (auto pushed = client_->push(batch); !pushed) return pushed.error();
    }
    sent.end_ns = time_.steady_ns();
    if (auto flushed = client_->flush(std::chrono::minutes(1)); !flushed) return flushed.error();
    const auto counted = client_->count();
    sent.accepted = counted.accepted;
    sent.refused = counted.refused + counted.duplicates;
    sent.sent_again = counted.sent_again;
    sent.processor_us = processor_us() - used;
    return sent;
  }

 private:
  static void sleep_until(std::uint64_t steady_ns) {
    std::this_thread::sleep_until(
        std::chrono::steady_clock::time_point(std::chrono::nanoseconds(steady_ns)));
  }

  const available_options options_;
  system_clock time_;
  actors::transport_context context_;
  std::unique_ptr<actors::event_client> client_;
};

}  // namespace

frame make_labelled_batch(const available_options& options,
                          std::uint64_t number,
                          std::uint64_t now_ms) {
  const bool joined = options.job == available_job::joined;
  schemas::event_batch_builder builder;
  builder.begin("bench");
  const std::uint16_t click = builder.name("click");
  const std::uint16_t user = builder.name("user");
  const std::uint16_t item = builder.name("item");
  const std::uint16_t query = builder.name("query");
  for (std::uint64_t i = 0; i < options.samples_of_push(); ++i) {
    const std::uint64_t id = number * options.samples_of_push() + i;
    const std::uint64_t drawn = mix64(id);
    const std::string key = text_of('r', id, 14);
    builder.event(text_of('e', id, 14), key, now_ms);
    builder.text(user, text_of('u', drawn % 1'000'000, 8));
    builder.text(item, text_of('i', (drawn >> 20) % 100'000, 8));
    builder.text(query, text_of('q', (drawn >> 40) % 10'000, 14));
    if (!joined) {
      builder.number(click, static_cast<double>(drawn & 1U));
      continue;
    }
    builder.event(text_of('a', id, 14), key, now_ms);
    builder.action(click);
  }
  return builder.finish();
}

result<std::unique_ptr<open_loop_sender>> open_loop_sender::open(const available_options& options) {
  auto made = std::make_unique<sender>(options);
  if (auto connected = made->connect(); !connected) return connected.error();
  return std::unique_ptr<open_loop_sender>(std::move(made));
}

}  // namespace headrace::bench
