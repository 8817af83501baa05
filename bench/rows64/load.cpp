#include "bench/rows64/load.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <unordered_map>
#include <vector>

namespace headrace::bench {
namespace {

using clock_type = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;
using milliseconds = std::chrono::duration<double, std::milli>;

constexpr seconds warm_up{0.3};
constexpr std::size_t prefill_depth = 8;
constexpr std::size_t parts = 12;

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0.0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

/// Rows and latencies of what is answered between `begin` and `end`.
struct window {
  clock_type::time_point begin;
  clock_type::time_point end;
  clock_type::time_point last = begin;
  std::uint64_t rows = 0;
  std::vector<double> latencies_ms = {};
  std::array<std::uint64_t, parts> rows_by_part = {};

  void take(clock_type::time_point sent, clock_type::time_point answered, std::size_t batch_rows) {
    if (answered < begin || answered > end) return;
    rows += batch_rows;
    const double share = seconds(answered - begin) / seconds(end - begin);
    rows_by_part[std::min(parts - 1, static_cast<std::size_t>(share * parts))] += batch_rows;
    last = answered;
    latencies_ms.push_back(milliseconds(answered - sent).count());
  }
  std::vector<double> rates() const {
    std::vector<double> each;
    for (const auto count : rows_by_part)
      each.push_back(static_cast<double>(count) * parts / seconds(end - begin).count());
    return each;
  }
  measured result() {
    const double elapsed = seconds(last - begin).count();
    return {elapsed > 0 ? static_cast<double>(rows) / elapsed : 0.0,
            percentile(latencies_ms, 0.50),
            percentile(latencies_ms, 0.99),
            rates()};
  }
};

}  // namespace

result<measured> run_load(peer_client& client,
                          std::span<const row_batch> pool,
                          const rows64_options& options,
                          ledger& done) {
  const auto begin = clock_type::now() + std::chrono::duration_cast<clock_type::duration>(warm_up);
  window timed{begin,
               begin + std::chrono::duration_cast<clock_type::duration>(seconds(options.seconds))};
  std::unordered_map<std::uint64_t, clock_type::time_point> in_flight;
  std::size_t next = 0;
  while (true) {
    while (in_flight.size() < options.depth && clock_type::now() < timed.end) {
      const std::size_t at = next++ % pool.size();
      const auto sent = clock_type::now();
      if (options.op == rows64_op::push) {
        in_flight[client.send_push(pool[at], options.codec)] = sent;
        done.pushed(at);
      } else {
        in_flight[client.send_pull(pool[at], options.codec)] = sent;
      }
    }
    if (in_flight.empty()) return timed.result();
    const auto answered = client.wait();
    if (!answered) return answered.error();
    const auto sent = in_flight.find(*answered);
    if (sent == in_flight.end()) return error{errc::malformed, "an answer to no request"};
    timed.take(sent->second, clock_type::now(), pool[0].rows());
    in_flight.erase(sent);
  }
}

result<void> run_prefill(peer_client& client, std::span<const row_batch> prefill) {
  std::size_t in_flight = 0;
  for (const auto& batch : prefill) {
    client.send_push(batch, schemas::value_codec::fp32);
    if (++in_flight < prefill_depth) continue;
    if (auto answered = client.wait(); !answered) return answered.error();
    --in_flight;
  }
  for (; in_flight > 0; --in_flight) {
    if (auto answered = client.wait(); !answered) return answered.error();
  }
  return {};
}

result<void> verify(peer_client& client,
                    std::span<const row_batch> batches,
                    schemas::value_codec codec,
                    ledger& done) {
  std::vector<float> rows;
  for (const auto& batch : batches) {
    rows.resize(batch.rows() * row_dim);
    client.send_pull(batch, codec);
    if (auto answered = client.wait(); !answered) return answered.error();
    client.copy_rows(batch, rows);
    if (auto same = done.check(batch, rows, codec); !same) return same;
  }
  return {};
}

}  // namespace headrace::bench
