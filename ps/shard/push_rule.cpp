#include "ps/shard/push_rule.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint32_t state_format = 1;

std::size_t index_of(schemas::lane lane) { return static_cast<std::size_t>(lane); }

}  // namespace

push_rule::tip push_rule::admitted(source_map::const_iterator source, schemas::lane lane) const {
  tip found{source->second.generation, source->second.lanes[index_of(lane)]};
  for (const admission& newer : in_flight_) {
    if (source_map::const_iterator(newer.source) != source) continue;
    if (newer.generation != found.generation) found = {newer.generation, {}};
    if (newer.lane == lane) found.end = {newer.batch, newer.at};
  }
  return found;
}

push_rule::answer push_rule::check(const schemas::source_id& source,
                                   schemas::lane lane,
                                   batch_number batch,
                                   batch_number prev) const {
  chain end;
  if (const auto it = sources_.find(source.name); it != sources_.end()) {
    const tip now = admitted(it, lane);
    if (source.generation < now.generation) return {verdict::retired, now.end.batch, lsn{}};
    if (source.generation == now.generation) end = now.end;
  }
  if (batch <= end.batch) return {verdict::duplicate, end.batch, end.at};
  return {prev == end.batch ? verdict::accept : verdict::gap, end.batch, lsn{}};
}

void push_rule::admit(const schemas::source_id& source,
                      schemas::lane lane,
                      batch_number batch,
                      lsn at) {
  CHECK(in_flight_.empty() || in_flight_.back().at < at);
  const auto it = sources_.try_emplace(source.name).first;
  in_flight_.push_back({at, it, source.generation, lane, batch});
}

void push_rule::advance(const admission& done) {
  source_state& state = done.source->second;
  const std::uint64_t before = state.lanes[index_of(schemas::lane::rows)].batch.value;
  const bool joined = state.generation == 0;
  if (state.generation != done.generation) state = {done.generation, {}};
  state.lanes[index_of(done.lane)] = {done.batch, done.at};
  const std::uint64_t after = state.lanes[index_of(schemas::lane::rows)].batch.value;
  if (joined || before <= slowest_ || after < slowest_) find_slowest();
}

void push_rule::commit(lsn through) {
  while (!in_flight_.empty() && in_flight_.front().at <= through) {
    advance(in_flight_.front());
    in_flight_.pop_front();
  }
}

void push_rule::roll_back(lsn from) {
  while (!in_flight_.empty() && in_flight_.back().at >= from) {
    const auto source = in_flight_.back().source;
    in_flight_.pop_back();
    const bool waits = std::any_of(in_flight_.begin(),
                                   in_flight_.end(),
                                   [&](const admission& other) { return other.source == source; });
    if (source->second.generation == 0 && !waits) sources_.erase(source);
  }
}

result<batch_number> push_rule::committed(const schemas::source_id& source,
                                          schemas::lane lane) const {
  const auto it = sources_.find(source.name);
  if (it == sources_.end() || it->second.generation < source.generation) return batch_number{};
  if (it->second.generation > source.generation) {
    return error{errc::unknown_source,
                 "generation of source " + to_string(source) + " is retired: the live one is #" +
                     std::to_string(it->second.generation)};
  }
  return it->second.lanes[index_of(lane)].batch;
}

std::uint64_t push_rule::slowest() const { return slowest_; }

void push_rule::find_slowest() {
  slowest_ = UINT64_MAX;
  for (const auto& [name, state] : sources_) {
    if (state.generation == 0) continue;
    slowest_ = std::min(slowest_, state.lanes[index_of(schemas::lane::rows)].batch.value);
  }
  if (slowest_ == UINT64_MAX) slowest_ = 0;
}

void push_rule::visit(
    const std::function<void(const schemas::source_id&, schemas::lane, batch_number)>& see) const {
  for (const auto& [name, state] : sources_) {
    if (state.generation == 0) continue;
    const schemas::source_id source{name, state.generation};
    for (const schemas::lane lane : {schemas::lane::rows, schemas::lane::dense}) {
      see(source, lane, state.lanes[index_of(lane)].batch);
    }
  }
}

std::vector<std::byte> push_rule::save() const {
  // A source of generation 0 is there only for an admission in flight.
  const auto known = std::count_if(sources_.begin(), sources_.end(), [](const auto& source) {
    return source.second.generation != 0;
  });
  byte_writer out;
  out.number(state_format);
  out.number(static_cast<std::uint32_t>(known));
  for (const auto& [name, state] : sources_) {
    if (state.generation == 0) continue;
    out.text(name);
    out.number(state.generation);
    for (const chain& lane : state.lanes) {
      out.number(lane.batch.value);
      out.number(lane.at.value);
    }
  }
  return out.take();
}

result<void> push_rule::load(std::span<const std::byte> bytes) {
  byte_reader in(bytes);
  if (in.number<std::uint32_t>() != state_format) {
    return error{errc::corrupt, "watermarks are in a format that this build does not read"};
  }
  source_map loaded;
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    std::string name = in.text();
    source_state state;
    state.generation = in.number<std::uint32_t>();
    for (chain& lane : state.lanes) {
      lane.batch = batch_number{in.number<std::uint64_t>()};
      lane.at = lsn{in.number<std::uint64_t>()};
    }
    loaded.emplace(std::move(name), state);
  }
  if (!in.at_end() || loaded.size() != count) {
    return error{errc::corrupt, "watermarks do not end where their count says"};
  }
  sources_ = std::move(loaded);
  in_flight_.clear();
  find_slowest();
  return {};
}

}  // namespace headrace::ps
