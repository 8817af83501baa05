#include "actors/http/event_routes.hpp"

#include "actors/http/event_answer.hpp"
#include "actors/http/http_text.hpp"
#include "base/log.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace headrace::actors {
namespace {

constexpr const char* path = "/v1/events";
constexpr std::string_view producer_field = "x-headrace-producer";

// What curl -d says when nobody says anything.
const char* const form_type = "application/x-www-form-urlencoded";
const char* const takes_types = "application/json, application/x-ndjson or application/x-capnp";

std::optional<content_encoding> encoding_of(std::string_view name) {
  if (name.empty() || name == "identity") return content_encoding::identity;
  if (name == "gzip" || name == "x-gzip") return content_encoding::gzip;
  if (name == "zstd") return content_encoding::zstd;
  return std::nullopt;
}

// The frame shares the text's memory where that begins on a whole word, as texts on the heap do.
frame frame_of(std::string bytes) {
  auto kept = std::make_shared<const std::string>(std::move(bytes));
  const auto view = std::as_bytes(std::span(*kept));
  return frame::is_aligned(view) ? frame::sharing(view, kept) : frame::copy_of(view);
}

// On the intake's thread, which has more to do than this answer: what is thrown here would end it,
// and the reply's end answers 500.
void tell(const http_reply& reply, schemas::event_ack ack, unread_events unread = {}) noexcept {
  try {
    reply(answer_of(std::move(ack), std::move(unread)));
  } catch (const std::exception& failure) {
    log_error("events.not_answered", {{"reason", failure.what()}});
  }
}

http_answer unsupported(const std::string& why) { return refusal_answer(415, why); }

}  // namespace

std::optional<event_routes::form> event_routes::form_of(std::string_view type) {
  if (type == "application/x-capnp") return form::frame;
  const bool is_json = type.empty() || type == "application/json" ||
                       type == "application/x-ndjson" || type == form_type;
  return is_json ? std::optional(form::json) : std::nullopt;
}

event_routes::event_routes(way_in to, admit who, const clock& time, settings how)
    : to_(std::move(to)), admit_(std::move(who)), time_(time), how_(how) {
  thread_ = std::jthread([this] { run(); });
}

event_routes::~event_routes() {
  {
    const std::lock_guard hold(lock_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<http_route> event_routes::routes() {
  return {{"POST",
           path,
           [this](http_request request, http_reply reply) {
             handle(std::move(request), std::move(reply));
           },
           how_.body_bytes_max,
           [this](const http_request& head, std::uint64_t body_bytes) {
             return turn_away(head, body_bytes);
           },
           event_answer_bytes_max,
           to_.wake}};
}

event_routes::counters event_routes::count() const {
  return {offered_.load(), refused_.load(), unread_.load(), handed_over_.load()};
}

void event_routes::refuse(const http_reply& reply, const error& failure) {
  ++refused_;
  reply(answer_of(failure, how_.retry_after_ms));
}

// Everything that can be said before the body comes.
std::optional<http_answer> event_routes::turn_away(const http_request& head,
                                                   std::uint64_t body_bytes) {
  const claim who{head.field(producer_field), head.bearer, static_cast<std::size_t>(body_bytes)};
  result<void> let_in;
  if (who.producer.size() > schemas::producer_bytes_max) {
    let_in = error{errc::malformed,
                   "X-Headrace-Producer: at most " + std::to_string(schemas::producer_bytes_max) +
                       " bytes are taken"};
  } else {
    let_in = admit_(who);
  }
  std::optional<http_answer> refusal;
  if (!let_in) {
    refusal = answer_of(let_in.error(), how_.retry_after_ms);
  } else if (!encoding_of(head.content_encoding)) {
    refusal = unsupported("Content-Encoding '" + head.content_encoding +
                          "': gzip, zstd or identity is taken");
  } else if (!form_of(head.content_type)) {
    refusal = unsupported("Content-Type '" + head.content_type + "': " + takes_types + " is taken");
  }
  if (refusal) ++refused_;
  return refusal;
}

// What `turn_away` let in.
void event_routes::handle(http_request request, http_reply reply) {
  const auto packed = encoding_of(request.content_encoding).value();
  const form as = form_of(request.content_type).value();
  const bool is_small =
      request.body.size() <= how_.inline_bytes_max && packed == content_encoding::identity;
  push next{std::move(request), std::move(reply), as, packed};
  {
    std::unique_lock hold(lock_);
    const bool waits = !is_small || behind_count_ > 0;
    const std::size_t bytes = next.request.body.size();
    if (waits && !waiting_.empty() && waiting_bytes_ + bytes > how_.waiting_bytes_max) {
      hold.unlock();
      return refuse(next.reply, {errc::overloaded, "too much waits to be read"});
    }
    if (waits) {
      waiting_.push_back(std::move(next));
      waiting_bytes_ += bytes;
      ++behind_count_;
      ++handed_over_;
      changed_.notify_one();
      return;
    }
  }
  take(std::move(next), inline_);
}

// Whatever is thrown, the request's end answers it: 500.
void event_routes::take_behind(push next) {
  try {
    take(std::move(next), behind_);
  } catch (const std::exception& failure) {
    log_error("events.not_handled", {{"reason", failure.what()}});
  }
  to_.wake();
}

void event_routes::run() {
  std::unique_lock hold(lock_);
  for (;;) {
    changed_.wait(hold, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) break;
    push next = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= next.request.body.size();
    hold.unlock();
    take_behind(std::move(next));
    hold.lock();
    --behind_count_;
  }
  auto left = std::move(waiting_);
  hold.unlock();
  schemas::event_ack ack;
  ack.status = errc::unavailable;
  ack.detail = "shutting down";
  ack.retry_after_ms = how_.retry_after_ms;
  refused_ += left.size();
  for (const auto& each : left) tell(each.reply, ack);
}

void event_routes::take(push next, reader& with) {
  std::string bytes = std::move(next.request.body);
  if (next.packed != content_encoding::identity) {
    auto unpacked = inflate(next.packed, bytes, how_.unpacked_bytes_max);
    if (!unpacked) return refuse(next.reply, unpacked.error());
    bytes = std::move(*unpacked);
  }
  if (bytes.empty()) return refuse(next.reply, {errc::malformed, "the body is empty"});
  if (next.as == form::frame) return take_frame(std::move(bytes), next);
  take_json(bytes, next, with);
}

void event_routes::take_frame(std::string bytes, push& next) {
  ++offered_;
  to_.put({frame_of(std::move(bytes)),
           [reply = std::move(next.reply)](schemas::event_ack ack) { tell(reply, std::move(ack)); },
           nullptr,
           std::move(next.request.bearer)});
}

void event_routes::take_json(std::string_view text, push& next, reader& with) {
  unread_events unread;
  with.builder.begin(next.request.field(producer_field));
  worker::event_json_reader::read_options options;
  options.now_ms = time_.now_ms();
  options.event_bytes_max = how_.event_bytes_max;
  options.told_max = schemas::refusals_max;
  if (auto read = with.json.read(text, options, with.builder, unread.first); !read) {
    return refuse(next.reply, read.error());
  }
  unread.count = with.json.refused();
  unread_ += unread.count;
  if (with.builder.events() == 0) {
    if (unread.count > 0) ++refused_;
    return next.reply(answer_of(schemas::event_ack{}, std::move(unread)));
  }
  ++offered_;
  to_.put({with.builder.finish(),
           [reply = std::move(next.reply), unread = std::move(unread)](
               schemas::event_ack ack) mutable { tell(reply, std::move(ack), std::move(unread)); },
           nullptr,
           std::move(next.request.bearer)});
}

}  // namespace headrace::actors
