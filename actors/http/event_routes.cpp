#include "actors/http/event_routes.hpp"

#include "actors/http/event_answer.hpp"
#include "actors/http/http_text.hpp"

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

http_answer unsupported(const std::string& why) { return refusal_answer(415, why); }

}  // namespace

event_routes::event_routes(offer to, admit who, const clock& time, settings how)
    : offer_(std::move(to)), admit_(std::move(who)), time_(time), how_(how) {
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
           how_.body_bytes_max}};
}

event_routes::counters event_routes::count() const {
  return {offered_.load(), refused_.load(), unread_.load(), handed_over_.load()};
}

void event_routes::refuse(const http_reply& reply, const error& failure) {
  ++refused_;
  reply(answer_of(failure, how_.retry_after_ms));
}

void event_routes::handle(http_request request, http_reply reply) {
  const auto packed = encoding_of(request.content_encoding);
  const std::string& type = request.content_type;
  const bool is_frame = type == "application/x-capnp";
  const bool is_json = type.empty() || type == "application/json" ||
                       type == "application/x-ndjson" || type == form_type;
  if (!packed || (!is_frame && !is_json)) {
    ++refused_;
    return reply(unsupported(packed ? "Content-Type '" + type + "': " + takes_types + " is taken"
                                    : "Content-Encoding '" + request.content_encoding +
                                          "': gzip, zstd or identity is taken"));
  }
  const claim who{request.field(producer_field), request.bearer, request.body.size()};
  if (who.producer.size() > schemas::producer_bytes_max) {
    return refuse(reply,
                  {errc::malformed,
                   "X-Headrace-Producer: at most " + std::to_string(schemas::producer_bytes_max) +
                       " bytes are taken"});
  }
  if (const auto let_in = admit_(who); !let_in) return refuse(reply, let_in.error());
  const bool is_small =
      request.body.size() <= how_.inline_bytes_max && *packed == content_encoding::identity;
  push next{std::move(request), std::move(reply), is_frame ? form::frame : form::json, *packed};
  {
    std::unique_lock hold(lock_);
    const bool waits = !is_small || behind_count_ > 0;
    const std::size_t bytes = next.request.body.size();
    if (waits && !waiting_.empty() && waiting_bytes_ + bytes > how_.waiting_bytes_max) {
      hold.unlock();
      return refuse(next.reply, {errc::overloaded, "too much waits to be read"});
    }
    if (waits) {
      ++behind_count_;
      ++handed_over_;
      waiting_bytes_ += bytes;
      waiting_.push_back(std::move(next));
      changed_.notify_one();
      return;
    }
  }
  take(std::move(next), inline_);
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
    take(std::move(next), behind_);
    hold.lock();
    --behind_count_;
  }
  auto left = std::move(waiting_);
  hold.unlock();
  for (const auto& each : left) refuse(each.reply, {errc::unavailable, "shutting down"});
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
  offer_({frame_of(std::move(bytes)),
          [reply = std::move(next.reply)](schemas::event_ack ack) {
            reply(answer_of(std::move(ack)));
          },
          nullptr,
          std::move(next.request.bearer)});
}

void event_routes::take_json(std::string_view text, push& next, reader& with) {
  std::vector<schemas::event_refusal> unread;
  with.builder.begin(next.request.field(producer_field));
  worker::event_json_reader::read_options options;
  options.now_ms = time_.now_ms();
  options.event_bytes_max = how_.event_bytes_max;
  if (auto read = with.json.read(text, options, with.builder, unread); !read) {
    return refuse(next.reply, read.error());
  }
  unread_ += unread.size();
  if (with.builder.events() == 0) {
    if (!unread.empty()) ++refused_;
    return next.reply(answer_of(schemas::event_ack{}, std::move(unread)));
  }
  ++offered_;
  offer_(
      {with.builder.finish(),
       [reply = std::move(next.reply), unread = std::move(unread)](schemas::event_ack ack) mutable {
         reply(answer_of(std::move(ack), std::move(unread)));
       },
       nullptr,
       std::move(next.request.bearer)});
}

}  // namespace headrace::actors
