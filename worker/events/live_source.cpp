#include "worker/events/live_source.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "worker/events/packed_event.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t cut_bytes_of_state = 4;  // a cut of n bytes is made every 4 n at most
constexpr std::size_t marks_max = 4'096;
constexpr std::uint64_t written_every_ms = 1'000;  // ten ticks of the intake

// Label l is 1 when an action of kind l came.
void label(std::uint64_t actions, event& into) {
  into.label = (actions & 1U) != 0 ? 1.0F : 0.0F;
  for (std::size_t l = 0; l < into.more_labels.size(); ++l)
    into.more_labels[l] = (actions >> (l + 1) & 1U) != 0 ? 1.0F : 0.0F;
}

// Actions take columns from an impression that the join remembers; those take beside what waits a
// part of its memory.
impression_columns::bounds kept_of(const std::optional<join_spec>& join) {
  constexpr std::uint64_t part = 4;
  if (!join) return {};
  return {join->window_ms + join->correct_ms, join->pending_max, join->memory_bytes_max / part};
}

// What the samples of a log depend on beside the log, never 0. Without a join each event is one.
std::uint64_t made_by(const event_schema& schema,
                      const std::vector<text_spec>& texts,
                      const std::optional<join_spec>& join) {
  if (!join) return 1;
  byte_writer all;
  all.number(schema.fingerprint());
  for (const std::uint64_t value : {join->window_ms,
                                    join->out_of_order_ms,
                                    join->correct_ms,
                                    join->early_ms,
                                    join->seed,
                                    std::uint64_t{join->actions}})
    all.number(value);
  all.number(join->negative_share);
  if (!texts.empty()) all.number(fingerprint_of(texts));
  return schemas::hash64(all.take()) | 2U;
}

result<void> keep(const std::filesystem::path& file, const stream_cut& cut) {
  const std::vector<std::byte> bytes = encode(cut);
  return storage::replace_file(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

result<stream_cut> live_source::load_cut(const std::filesystem::path& file) {
  const auto bytes = storage::read_bytes(file);
  if (!bytes && bytes.error().code == errc::not_found) return stream_cut{};
  if (!bytes) return bytes.error();
  auto cut = decode_stream_cut(*bytes);
  if (cut) return cut;
  return error{
      cut.error().code,
      "'" + file.string() + "': " + cut.error().detail + "; restore the state folder from a copy"};
}

result<std::unique_ptr<live_source>> live_source::open(std::shared_ptr<event_intake> intake,
                                                       event_schema schema,
                                                       settings how,
                                                       stream_cut from) {
  const std::vector<std::byte> joined = std::exchange(from.joiner, {});
  const std::vector<std::byte> windows = std::exchange(from.windows, {});
  const std::vector<std::byte> texts = std::exchange(from.texts, {});
  std::unique_ptr<live_source> made(
      new live_source(std::move(intake), std::move(schema), std::move(how), std::move(from)));
  const std::uint64_t before = made->cut_.made_by;
  if (!joined.empty() && before != 0 && before != made->made_by_) return made->made_by_another();
  if (auto loaded = made->load_windows(windows); !loaded) return loaded.error();
  if (auto loaded = made->load_texts(texts); !loaded) return loaded.error();
  if (!made->joiner_ || joined.empty()) return made;
  if (auto loaded = made->joiner_->load(joined); !loaded) return loaded.error();
  return made;
}

live_source::live_source(std::shared_ptr<event_intake> intake,
                         event_schema schema,
                         settings how,
                         stream_cut from)
    : intake_(std::move(intake)),
      schema_(std::move(schema)),
      how_(std::move(how)),
      reader_(intake_->log(), intake_->tail(), lsn{from.through.value + 1}),
      windows_(how_.source, kept_of(how_.join)),
      filter_(how_.source.texts),
      position_(from.samples),
      made_by_(made_by(schema_, how_.source.texts, how_.join)),
      cut_(std::move(from)),
      marks_(cut_.marks.begin(), cut_.marks.end()),
      next_cut_bytes_(how_.cut_bytes) {
  if (how_.join) joiner_.emplace(*how_.join, how_.spill.get());
  if (!marks_.empty()) log_bytes_ = marks_.back().bytes;
}

// Those of a window that the job did not have, or had otherwise, are not known: it begins empty.
result<void> live_source::load_windows(std::span<const std::byte> saved) {
  if (windows_.empty() || cut_.through.value == 0) return {};
  auto empty = saved.empty() ? windows_.size() : windows_.load(saved);
  if (!empty) return empty.error();
  if (*empty > 0) log_warn("windows.begin_empty", {{"windows", *empty}});
  return {};
}

// Texts of a column that the job did not have, or hashed otherwise, are not known.
result<void> live_source::load_texts(std::span<const std::byte> saved) {
  if (filter_.empty() || saved.empty()) return {};
  auto empty = filter_.load(saved);
  if (!empty) return empty.error();
  if (*empty > 0) log_warn("texts.begin_empty", {{"texts", *empty}});
  return {};
}

live_source::~live_source() { intake_->tail().on_put(nullptr); }

void live_source::on_more(const std::function<void()>& wake) { intake_->tail().on_put(wake); }

result<bool> live_source::next(event& into) {
  while (position_ < read_until_) {
    if (take_joined(into) || next_event(into)) {
      into.row_number = position_++;
      return true;
    }
    if (joiner_ && joiner_->failure()) return *joiner_->failure();
    if (position_ >= read_until_) break;
    auto more = next_record();
    if (!more || !*more) return more;
  }
  return false;
}

// The next sample the joiner has ready.
bool live_source::take_joined(event& into) {
  joined_sample sample;
  if (!joiner_ || !joiner_->take(sample)) return false;
  CHECK(unpack(sample.payload, into));
  into.arrived_ms = sample.arrived_ms + cut_.unwritten_ms;
  label(sample.actions, into);
  return true;
}

// On with the events of the record at work; true when one of them is a sample by itself.
bool live_source::next_event(event& into) {
  while (record_ && place_ < batch_.events.size() && position_ < read_until_) {
    const std::size_t i = place_++;
    if (is_left_out(record_->left_out, i)) continue;
    if (!fits(i) || !takes_texts(i)) {
      if (!joiner_) ++position_;
      if (take_joined(into)) return true;
      continue;
    }
    if (joiner_) {
      feed_join(i);
      if (take_joined(into)) return true;
      continue;
    }
    schema_.parse(batch_, names_, i, into);
    windows_.write(into);
    into.arrived_ms = record_->arrived_ms;
    return true;
  }
  return false;
}

// An event that an earlier job file let in may be none of this one's: counted, and not learned.
bool live_source::fits(std::size_t i) {
  auto wrong = schema_.check(batch_, names_, i);
  if (!wrong && joiner_ && batch_.events[i].key.empty()) {
    wrong = event_schema::problem{schemas::event_fault::no_key,
                                  "key: the job needs one, to join impressions with their actions"};
  }
  if (!wrong) return true;
  static_cast<void>(  // any number is let pass
      bad_.add(bad_row::not_a_number, "event log", record_->position.value, wrong->detail));
  return false;
}

// One that is left out for its texts is no event to windows and join, but time goes on.
bool live_source::takes_texts(std::size_t i) {
  if (filter_.empty()) return true;
  schema_.clean_texts(batch_, names_, i, texts_);
  if (batch_.events[i].kind == schemas::event_kind::action) return true;
  const auto refused = filter_.judge(texts_);
  if (!refused) return true;
  static_cast<void>(  // any number is let pass
      bad_.add(reason_of(refused->why),
               "event log",
               record_->position.value,
               "the text is " + shown(texts_[refused->text])));
  if (joiner_) joiner_->idle(log_time());
  return false;
}

void live_source::feed_join(std::size_t i) {
  const schemas::event_head& head = batch_.events[i];
  impression_columns& impressions = windows_.impressions();
  if (head.kind == schemas::event_kind::action) {
    const auto kind = static_cast<std::uint32_t>(schema_.action_of(batch_, names_, i));
    joiner_->action(head.key, head.time_ms, log_time(), kind);
    if (windows_.empty()) return;
    const auto lent = impressions.find(head.key, joiner_->watermark_ms());
    schema_.parse_action(batch_, names_, i, lent, fed_);
    return windows_.feed(head.time_ms, fed_);
  }
  schema_.parse(batch_, names_, i, parsed_);
  windows_.write(parsed_);
  pack(parsed_, packed_);
  joiner_->impression(head.key, head.time_ms, log_time(), packed_);
  if (!schema_.keeps_columns()) return;
  schema_.keep_columns(batch_, names_, i, kept_);
  impressions.put(head.key, head.time_ms, joiner_->watermark_ms(), kept_);
}

// The record at work is done; opens the next one. False: there is none yet.
result<bool> live_source::next_record() {
  if (record_) {
    if (auto ended = end_record(); !ended) return ended.error();
  }
  auto record = reader_.next();
  if (!record) return record.error();
  if (!*record) return false;
  intake_->was_read((*record)->bytes());
  record_ = std::move(*record);
  place_ = 0;
  keep_time(record_->arrived_ms);
  batch_.events.clear();
  if (record_->batch.empty()) {
    if (joiner_) joiner_->idle(log_time());
    return true;
  }
  if (auto decoded = schemas::decode_event_batch(record_->batch, batch_); !decoded) {
    return error{errc::corrupt,
                 "event log: record " + std::to_string(record_->position.value) + ": " +
                     decoded.error().detail};
  }
  names_ = schema_.look_up(batch_);
  return true;
}

// While windows may be open somebody writes at least every tick, so a longer time without is one in
// which nobody ran: events that happened then may still come, and no window ends by it.
void live_source::keep_time(std::uint64_t stamp_ms) {
  const std::uint64_t passed = cut_.stamp_ms == 0 ? 0 : stamp_ms - cut_.stamp_ms;
  if (passed > written_every_ms) cut_.unwritten_ms += passed - written_every_ms;
  cut_.stamp_ms = stamp_ms;
}

// Everything that was made of it was taken, so a cut may stand here.
result<void> live_source::end_record() {
  const std::uint64_t bytes = record_->bytes();
  cut_.through = record_->position;
  cut_.samples = position_;
  log_bytes_ += bytes;
  bytes_since_cut_ += bytes;
  if (!record_->batch.empty() && !batch_.partition.empty())
    cut_.partitions[std::string(batch_.partition)] = batch_.offset_end;
  const std::uint64_t stamp_ms = record_->arrived_ms;
  record_.reset();
  tell_boards();
  if (bytes_since_cut_ < next_cut_bytes_ || waiting_cut_ || writing_.valid()) return {};
  return cut(stamp_ms);
}

void live_source::tell_boards() {
  if (how_.of_texts && !filter_.empty()) how_.of_texts->tell({filter_.count(), filter_.known()});
  if (how_.of_windows && !windows_.empty()) {
    windows_.look(windows_now_.each);
    const impression_columns& of = windows_.impressions();
    if (joiner_ && schema_.keeps_columns())
      windows_now_.impressions = {of.size(), of.bytes(), of.forgotten()};
    how_.of_windows->tell(windows_now_);
  }
  if (!joiner_ || !how_.board) return;
  how_.board->tell({.count = joiner_->count(),
                    .watermark_ms = joiner_->watermark_ms(),
                    .pending = joiner_->pending(),
                    .payload_bytes = joiner_->payload_bytes(),
                    .spilled = joiner_->spilled()});
}

// The cut as of now, with all that is known; marks aside.
result<stream_cut> live_source::state() const {
  stream_cut now = cut_;
  now.made_by = made_by_;
  if (joiner_ && cut_.through.value > 0) {
    auto saved = joiner_->save();
    if (!saved) return saved.error();
    now.joiner = std::move(*saved);
  }
  if (!windows_.empty()) now.windows = windows_.save();
  if (!filter_.empty()) now.texts = filter_.save();
  return now;
}

result<void> live_source::cut(std::uint64_t stamp_ms) {
  auto made = state();
  if (!made) return made.error();
  marks_.push_back({cut_.through, stamp_ms, log_bytes_});
  if (marks_.size() > marks_max) marks_.erase(marks_.begin() + 1);
  made->marks.assign(marks_.begin(), marks_.end());
  const std::size_t bytes = made->joiner.size() + made->windows.size() + made->texts.size();
  next_cut_bytes_ = std::max<std::uint64_t>(how_.cut_bytes, cut_bytes_of_state * bytes);
  bytes_since_cut_ = 0;
  cut_.made_by = made_by_;
  waiting_cut_ = std::move(*made);
  return {};
}

result<void> live_source::sealed(std::uint64_t through) {
  if (writing_.valid()) {
    if (writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return {};
    const auto kept = writing_.get();
    return kept ? give_up(*kept) : kept.error();
  }
  if (!waiting_cut_ || waiting_cut_->samples > through || how_.cut_file.empty()) return {};
  writing_ = std::async(
      std::launch::async,
      [file = how_.cut_file, cut = std::move(*waiting_cut_)]() mutable -> result<stream_cut> {
        if (auto kept = keep(file, cut); !kept) return kept.error();
        cut.joiner = std::vector<std::byte>();  // {} would keep their room
        cut.windows = std::vector<std::byte>();
        cut.texts = std::vector<std::byte>();
        return std::move(cut);
      });
  waiting_cut_.reset();
  return {};
}

// The log before the newest mark that is too old, or too far behind in bytes.
result<void> live_source::give_up(const stream_cut& kept) {
  if (kept.marks.empty()) return {};
  const auto& newest = kept.marks.back();
  const auto gone = [&](const stream_cut::mark& mark) {
    const bool too_old = how_.keep_ms > 0 && newest.stamp_ms - mark.stamp_ms > how_.keep_ms;
    const bool too_far = how_.keep_bytes > 0 && newest.bytes - mark.bytes > how_.keep_bytes;
    return too_old || too_far;
  };
  std::optional<lsn> through;
  while (marks_.size() > 1 && gone(marks_.front())) {
    through = marks_.front().through;
    marks_.pop_front();
  }
  if (!through) return {};
  return intake_->log().truncate_before(lsn{through->value + 1});
}

// What was sealed of the lost end stays learned. A cut at once: counts before it are no longer
// those of the log.
result<void> live_source::go_on_at(std::uint64_t through) {
  log_warn("events.log_lost_its_end",
           {{"samples_sealed_and_lost", through - position_}, {"sample", through}});
  position_ = through;
  cut_.samples = through;
  waiting_cut_.reset();
  if (auto made = cut(cut_.stamp_ms); !made) return made;
  if (auto begun = sealed(through); !begun || !writing_.valid()) return begun;
  writing_.wait();
  return sealed(through);
}

error live_source::made_by_another() const {
  return {errc::wrong_job,
          "the event log was joined up to record " + std::to_string(cut_.through.value) +
              " under another [join] section, other actions, other features or other [texts] "
              "than the job file has: put them back, or begin in another state folder"};
}

// Says in the cut, before the first sample is made, what makes those behind it.
result<void> live_source::claim(std::uint64_t through) {
  if (cut_.made_by == made_by_) return {};
  if (cut_.made_by != 0 && through > position_) return made_by_another();
  const auto now = state();
  if (!now) return now.error();
  if (!how_.cut_file.empty()) {
    if (auto kept = keep(how_.cut_file, *now); !kept) return kept;
  }
  cut_.made_by = made_by_;
  return {};
}

result<void> live_source::skip(std::uint64_t through) {
  if (auto claimed = claim(through); !claimed) return claimed;
  if (position_ > through && how_.may_lose_ends) {
    log_warn("samples.log_lost_its_end",
             {{"samples_made_and_lost", position_ - through}, {"sample", position_}});
    return {};
  }
  if (position_ > through) {
    return error{errc::corrupt,
                 "the event log is read from sample " + std::to_string(position_) +
                     " on, but training goes on at " + std::to_string(through) +
                     "; restore the state folder from a copy"};
  }
  event passed;
  read_until_ = through;
  while (position_ < through) {
    auto more = next(passed);
    if (!more) return more.error();
    if (!*more) break;
  }
  read_until_ = UINT64_MAX;
  return position_ < through ? go_on_at(through) : result<void>();
}

}  // namespace headrace::worker
