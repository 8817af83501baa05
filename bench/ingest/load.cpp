#include "bench/ingest/load.hpp"

#include "base/parse_number.hpp"
#include "base/random.hpp"
#include "schemas/event.hpp"

#include <algorithm>
#include <array>

namespace headrace::bench {
namespace {

constexpr std::uint64_t ids_of_round = 10'000'000'000;  // digits of an id that count its events

/// `digits` last digits of `number` behind a letter: texts of the same length, so that events are
/// of the same size.
std::string text_of(char letter, std::uint64_t number, std::size_t digits) {
  std::string text(digits + 1, '0');
  text[0] = letter;
  for (std::size_t i = digits; i > 0; --i, number /= 10)
    text[i] = static_cast<char>('0' + number % 10);
  return text;
}

struct event_texts {
  std::string id;
  std::string key;
  std::string user;
  std::string item;
  std::string query;
};

event_texts texts_of(const ingest_options& options, std::uint64_t number, std::uint64_t i) {
  const std::uint64_t part = options.round * std::uint64_t{options.clients} + options.client;
  const std::uint64_t id = part * ids_of_round + number * options.batch + i;
  const std::uint64_t drawn = mix64(id);
  return {text_of('e', id, 14),
          text_of('r', id, 14),
          text_of('u', drawn % 1'000'000, 8),
          text_of('i', (drawn >> 20) % 100'000, 8),
          text_of('q', (drawn >> 40) % 10'000, 14)};
}

double quantile_ms(std::vector<std::uint32_t>& us, double share) {
  if (us.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(us.size() - 1));
  std::nth_element(us.begin(), us.begin() + at, us.end());
  return us[static_cast<std::size_t>(at)] / 1'000.0;
}

}  // namespace

frame make_event_batch(const ingest_options& options, std::uint64_t number, std::uint64_t now_ms) {
  schemas::event_batch_builder builder;
  builder.begin("bench");
  const std::array names = {builder.name("user"), builder.name("item"), builder.name("query")};
  for (std::uint64_t i = 0; i < options.batch; ++i) {
    const event_texts texts = texts_of(options, number, i);
    builder.event(texts.id, texts.key, now_ms);
    builder.text(names[0], texts.user);
    builder.text(names[1], texts.item);
    builder.text(names[2], texts.query);
  }
  return builder.finish();
}

std::string make_event_lines(const ingest_options& options,
                             std::uint64_t number,
                             std::uint64_t now_ms) {
  std::string lines;
  for (std::uint64_t i = 0; i < options.batch; ++i) {
    const event_texts texts = texts_of(options, number, i);
    lines += R"({"id":")" + texts.id + R"(","key":")" + texts.key + R"(","time":)" +
             std::to_string(now_ms) + R"(,"features":{"user":")" + texts.user + R"(","item":")" +
             texts.item + R"(","query":")" + texts.query + "\"}}\n";
  }
  return lines;
}

double event_bytes(const ingest_options& options) {
  return static_cast<double>(make_event_batch(options, 0, 0).size()) / options.batch;
}

std::string to_line(const client_result& found) {
  std::string line = std::to_string(found.acknowledged) + " " + std::to_string(found.begin_ns) +
                     " " + std::to_string(found.end_ns);
  for (const auto us : found.batch_us) line += " " + std::to_string(us);
  return line;
}

result<client_result> parse_client_result(std::string_view line) {
  std::vector<std::uint64_t> numbers;
  while (!line.empty()) {
    const auto end = std::min(line.find(' '), line.size());
    const auto number = parse_number<std::uint64_t>(line.substr(0, end));
    if (!number) break;
    numbers.push_back(*number);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  if (!line.empty() || numbers.size() < 3)
    return error{errc::malformed, "a client ended without a result"};
  client_result found{numbers[0], numbers[1], numbers[2]};
  for (std::size_t i = 3; i < numbers.size(); ++i)
    found.batch_us.push_back(static_cast<std::uint32_t>(numbers[i]));
  return found;
}

ingest_round sum_of(const std::vector<client_result>& clients) {
  ingest_round sum;
  std::uint64_t begin = UINT64_MAX;
  std::uint64_t end = 0;
  std::vector<std::uint32_t> us;
  for (const auto& each : clients) {
    sum.acknowledged += each.acknowledged;
    begin = std::min(begin, each.begin_ns);
    end = std::max(end, each.end_ns);
    us.insert(us.end(), each.batch_us.begin(), each.batch_us.end());
  }
  if (end > begin)
    sum.events_per_second = static_cast<double>(sum.acknowledged) * 1e9 / double(end - begin);
  sum.p50_ms = quantile_ms(us, 0.5);
  sum.p99_ms = quantile_ms(us, 0.99);
  return sum;
}

}  // namespace headrace::bench
