#include "worker/ingest/window_features.hpp"

#include "base/check.hpp"
#include "schemas/hash.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint32_t format_version = 2;
constexpr std::uint32_t first_format = 1;  // had neither `lacking` nor columns of impressions

window_bounds bounds_of(const feature_spec& feature, const window_limits& limits) {
  window_bounds how;
  how.over_ms = feature.window->over_ms;
  how.out_of_order_ms = limits.out_of_order_ms;
  how.newest_max = feature.kind == feature_kind::ids ? feature.list_max : 0;
  how.keys_max = limits.keys_max;
  how.key_events_max = limits.key_events_max;
  how.events_max = std::max(limits.events_max, limits.key_events_max);
  return how;
}

std::uint64_t fingerprint_of(const feature_spec& feature, const window_bounds& how) {
  const sliding_window& window = *feature.window;
  byte_writer out;
  out.text(feature.name);
  out.text(feature.column);
  out.text(feature.salt);
  out.number(static_cast<std::uint8_t>(window.is));
  out.number(how.over_ms);
  out.number(how.out_of_order_ms);
  out.number(how.newest_max);
  out.text(window.on);
  for (const std::string& column : window.of) out.text(column);
  if (window.where) {
    out.text(window.where->column);
    out.number(static_cast<std::uint8_t>(window.where->is));
    out.number(window.where->threshold);
  }
  return schemas::hash64(out.take());
}

// Not inlined: g++ 12 at -O3 takes the writer's vector for smaller than it is.
template <class Number>
[[gnu::noinline]] void put(byte_writer& out, Number value) {
  out.number(value);
}

error damaged(const std::string& what) {
  return {errc::corrupt, "saved windows: " + what + "; restore the state folder from a copy"};
}

// The newest of the window, at the place of its list.
void write_list(std::span<const window_event> window,
                std::size_t place,
                std::uint32_t list_max,
                event& into) {
  const auto newest = window.last(std::min<std::size_t>(window.size(), list_max));
  CHECK(place < into.lengths.size());
  CHECK(into.lengths[place] == 0);
  const auto before = std::accumulate(into.lengths.begin(),
                                      into.lengths.begin() + static_cast<std::ptrdiff_t>(place),
                                      std::size_t{0});
  into.lengths[place] = static_cast<std::uint16_t>(newest.size());
  auto at = into.sequence_keys.insert(
      into.sequence_keys.begin() + static_cast<std::ptrdiff_t>(before), newest.size(), 0);
  for (const window_event& each : newest) *at++ = each.value;
}

}  // namespace

window_features::window_features(const source_spec& source,
                                 const impression_columns::bounds& of_impressions)
    : impressions_(of_impressions) {
  std::size_t keys = 0;
  std::size_t lists = 0;
  for (const feature_spec& feature : source.features) {
    std::size_t& place = feature.kind == feature_kind::ids ? lists : keys;
    if (feature.window) {
      const window_bounds how = bounds_of(feature, source.windows);
      windows_.push_back({window_table(how),
                          feature_writer(feature),
                          *feature.window,
                          place,
                          feature.list_max,
                          fingerprint_of(feature, how),
                          0});
    }
    ++place;
  }
}

void window_features::write(event& into) {
  CHECK(into.windows.size() == windows_.size());
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    one& of = windows_[w];
    const window_input& input = into.windows[w];
    of.table.advance(into.event_time_ms);
    of.lacking += input.lacks ? 1 : 0;
    if (!input.has_key) continue;  // what the parser left: a missing value, or nothing
    const auto window = of.table.window(input.key, into.event_time_ms);
    if (of.spec.is == sliding_window::measure::last) {
      write_list(window, of.place, of.list_max, into);
    } else {
      write_number(of, window, into);
    }
    if (input.feeds) of.table.add(input.key, {into.event_time_ms, input.value});
  }
  into.windows.clear();
}

void window_features::write_number(const one& of,
                                   std::span<const window_event> window,
                                   event& into) {
  double x = static_cast<double>(window.size());
  if (of.spec.is == sliding_window::measure::sum) x = sum_of(window);
  if (of.spec.is == sliding_window::measure::rate)
    x = x * 1'000.0 / static_cast<double>(of.spec.over_ms);
  scratch_.keys.clear();
  scratch_.values.clear();
  if (!of.writer.number(x, scratch_, true)) of.writer.missing(scratch_, true);
  CHECK(of.place < into.keys.size());
  into.keys[of.place] = scratch_.keys[0];
  if (!into.values.empty()) into.values[of.place] = scratch_.values[0];
}

void window_features::feed(std::uint64_t time_ms, std::span<const window_input> inputs) {
  CHECK(inputs.size() == windows_.size());
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    window_table& table = windows_[w].table;
    table.advance(time_ms);
    windows_[w].lacking += inputs[w].lacks ? 1 : 0;
    if (inputs[w].feeds) table.add(inputs[w].key, {time_ms, inputs[w].value});
  }
}

void window_features::look(std::vector<window_figures>& into) const {
  into.resize(windows_.size());
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    const one& of = windows_[w];
    into[w].name = of.writer.name();
    into[w].count = of.table.count();
    into[w].keys = of.table.keys();
    into[w].events = of.table.events();
    into[w].lacking = of.lacking;
  }
}

std::vector<std::byte> window_features::save() const {
  byte_writer out;
  put(out, format_version);
  put(out, static_cast<std::uint32_t>(windows_.size()));
  for (const one& each : windows_) {
    byte_writer table;
    each.table.save(table);
    const auto bytes = table.take();
    put(out, each.fingerprint);
    put(out, each.lacking);
    put(out, static_cast<std::uint64_t>(bytes.size()));
    out.numbers(std::span(bytes));
  }
  impressions_.save(out);
  return out.take();
}

result<std::size_t> window_features::load(std::span<const std::byte> saved) {
  byte_reader in(saved);
  const auto version = in.number<std::uint32_t>();
  if (in.ok() && version != format_version && version != first_format)
    return damaged("format " + std::to_string(version) + " is not known here");
  std::vector<bool> loaded(windows_.size(), false);
  for (auto left = in.number<std::uint32_t>(); left > 0 && in.ok(); --left) {
    const auto fingerprint = in.number<std::uint64_t>();
    const auto lacking = version == first_format ? 0 : in.number<std::uint64_t>();
    const auto size = in.number<std::uint64_t>();
    if (!in.ok() || size > in.left()) return damaged("cut short");
    byte_reader table(saved.subspan(saved.size() - in.left(), size));
    in = byte_reader(saved.subspan(saved.size() - in.left() + size));
    const auto at = std::ranges::find(windows_, fingerprint, &one::fingerprint);
    if (at == windows_.end()) continue;
    const auto w = static_cast<std::size_t>(at - windows_.begin());
    if (loaded[w]) return damaged("a window twice");
    loaded[w] = true;
    at->lacking = lacking;
    if (auto read = at->table.load(table); !read) return read.error();
    if (!table.at_end()) return damaged("a window is longer than it says");
  }
  if (version != first_format) {
    if (auto read = impressions_.load(in); !read) return read.error();
  }
  if (!in.at_end()) return damaged("cut short, or longer than it says");
  return static_cast<std::size_t>(std::ranges::count(loaded, false));
}

}  // namespace headrace::worker
