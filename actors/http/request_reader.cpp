#include "actors/http/request_reader.hpp"

#include "actors/http/http_text.hpp"
#include "base/check.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstdint>
#include <exception>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t chunk_end_bytes = 5;  // "0\r\n\r\n"

namespace beast_http = boost::beast::http;
using beast_text = boost::beast::string_view;
using beast_code = boost::beast::error_code;

constexpr std::size_t target_bytes_max = std::size_t{8} * 1024;
constexpr std::string_view own_prefix = "x-headrace-";
constexpr std::size_t own_fields_max = 32;
constexpr std::uint32_t retry_after_s = 1;

std::string_view view(beast_text text) { return {text.data(), text.size()}; }

}  // namespace

// Beast's parser, told to keep only what handlers see. A callback that finds fault says so in
// `status` and `why` and stops the parser with `ec`.
struct request_reader::parser final : beast_http::basic_parser<true> {
  parser(byte_room& room_for_body, std::uint32_t header_bytes_max) : room(room_for_body) {
    body_limit(boost::none);  // the route's own, below
    header_limit(header_bytes_max);
  }

  void fail(beast_code& ec, unsigned with, std::string because) {
    status = with;
    why = std::move(because);
    ec = beast_http::error::bad_value;
  }

  void on_request_impl(
      beast_http::verb, beast_text method, beast_text target, int number, beast_code& ec) override {
    version_1_0 = number < 11;
    request.method = view(method);
    if (target.size() > target_bytes_max) return fail(ec, 414, "the path is too long");
    auto parts = split_target(view(target));
    if (!parts) return fail(ec, 400, "the path is not one: '/…' is needed, escapes as %XX");
    request.path = std::move(parts->path);
    request.query = std::move(parts->query);
  }

  void on_response_impl(int, beast_text, int, beast_code&) override {}

  void on_field_impl(beast_http::field name,
                     beast_text spelled,
                     beast_text value,
                     beast_code& ec) override {
    if (header_ended) return;  // behind the last chunk: nothing we use may stand there
    switch (name) {
      case beast_http::field::host:
        ++hosts;
        return;
      case beast_http::field::content_type:
        request.content_type = media_type(view(value));
        return;
      case beast_http::field::content_encoding:
        request.content_encoding = lower_case(view(value));
        return;
      case beast_http::field::authorization:
        request.bearer = bearer_token(view(value));
        return;
      case beast_http::field::expect:
        expects = lower_case(view(value));
        return;
      case beast_http::field::transfer_encoding:
        // Any other coding would leave Beast and us at odds about where the body ends.
        if (version_1_0 || lower_case(view(value)) != "chunked") {
          return fail(ec, 501, "Transfer-Encoding: only chunked, of HTTP/1.1, is taken");
        }
        return;
      default:
        break;
    }
    if (name != beast_http::field::unknown || spelled.size() <= own_prefix.size()) return;
    auto lower = lower_case(view(spelled.substr(0, own_prefix.size())));
    if (lower != own_prefix || request.fields.size() >= own_fields_max) return;
    request.fields.emplace_back(lower_case(view(spelled)), view(value));
  }

  void on_header_impl(beast_code& ec) override {
    header_ended = true;
    if (!version_1_0 && hosts != 1) return fail(ec, 400, "one Host field is needed");
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, beast_code&) override {
    if (length) request.body.reserve(std::min<std::uint64_t>(*length, body_bytes_max));
  }

  std::size_t on_body_impl(beast_text bytes, beast_code& ec) override {
    if (bytes.size() > body_bytes_max - request.body.size()) {
      fail(ec, 413, too_large());
      return 0;
    }
    if (!room.take(bytes.size())) {
      fail(ec, 503, "too much is being read at once; try again later");
      return 0;
    }
    request.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  void on_chunk_header_impl(std::uint64_t, beast_text, beast_code&) override {}

  std::size_t on_chunk_body_impl(std::uint64_t, beast_text bytes, beast_code& ec) override {
    return on_body_impl(bytes, ec);
  }

  void on_finish_impl(beast_code&) override {}

  std::string too_large() const {
    return "the body is too large: at most " + std::to_string(body_bytes_max) + " bytes";
  }

  byte_room& room;
  http_request request;
  std::size_t body_bytes_max = 0;
  bool version_1_0 = false;
  bool header_ended = false;
  int hosts = 0;
  std::string expects;
  unsigned status = 0;
  std::string why;
};

request_reader::request_reader(const route_table& routes,
                               byte_room& room,
                               std::size_t header_bytes_max,
                               std::string peer)
    : routes_(routes), room_(room), header_bytes_max_(header_bytes_max), peer_(std::move(peer)) {}

request_reader::~request_reader() { give_back(); }

void request_reader::give_back() {
  if (parser_) room_.give(parser_->request.body.size());
  parser_.reset();
}

request_reader::stage request_reader::at() const { return at_; }

bool request_reader::wants_continue() { return std::exchange(wants_continue_, false); }

std::size_t request_reader::body_left() const {
  if (at_ != stage::body) return 0;
  return static_cast<std::size_t>(parser_->content_length_remaining().value_or(0));
}

std::size_t request_reader::take(std::string_view bytes) {
  std::size_t taken = 0;
  if (at_ == stage::idle) {
    // Some clients end a body with one more line end (RFC 9112, 2.2).
    taken = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
    if (taken == bytes.size()) return taken;
    parser_ = std::make_unique<parser>(room_, static_cast<std::uint32_t>(header_bytes_max_));
    header_bytes_ = 0;
    at_ = stage::header;
  }
  if (at_ == stage::header) taken += take_header(bytes.substr(taken));
  if (at_ == stage::body) taken += take_body(bytes.substr(taken));
  return taken;
}

std::size_t request_reader::take_header(std::string_view bytes) {
  beast_code ec;
  const std::size_t taken = parser_->put({bytes.data(), bytes.size()}, ec);
  header_bytes_ += taken;
  const std::size_t behind = ec == beast_http::error::need_more ? bytes.size() - taken : 0;
  if (ec == beast_http::error::header_limit || header_bytes_ + behind > header_bytes_max_) {
    const bool in_target =
        parser_->request.method.empty() && bytes.find("\r\n") == std::string_view::npos;
    refuse(in_target ? 414 : 431,
           "the header is too large: at most " + std::to_string(header_bytes_max_) + " bytes");
  } else if (parser_->status != 0) {
    refuse(parser_->status, parser_->why);
  } else if (ec == beast_http::error::bad_version) {
    refuse(505, "HTTP/1.1 or HTTP/1.0 is needed");
  } else if (ec && ec != beast_http::error::need_more) {
    refuse(400, "this is no HTTP request: " + ec.message());
  } else if (parser_->is_header_done()) {
    end_header();
  }
  return taken;
}

// Everything that can be said of a request before its body comes.
void request_reader::end_header() {
  parser& head = *parser_;
  const auto& request = head.request;
  const bool has_body = !head.is_done();
  const bool close = has_body || !head.keep_alive();
  const auto found = routes_.find(request.method, request.path);
  if (found.route == nullptr) {
    if (!routes_.knows_method(request.method)) {
      return refuse(501, "no such method here: " + request.method, close);
    }
    if (found.allow.empty()) return refuse(404, "nothing is at " + request.path, close);
    refusal_.allow = found.allow;
    return refuse(405, request.path + " takes " + found.allow, close);
  }
  route_ = found.route;
  head.body_bytes_max = route_->body_bytes_max;
  head.request.peer = peer_;
  const std::uint64_t length = head.content_length().value_or(0);
  if (auto answer = turned_away(length)) {
    refusal_.answer = std::move(answer);
    return refuse(refusal_.answer->status, "the route does not take it", close);
  }
  if (length > head.body_bytes_max) return refuse(413, head.too_large());
  if (!room_.has(length)) return refuse(503, "too much is being read at once; try again later");
  if (!head.expects.empty() && head.expects != "100-continue") {
    return refuse(417, "Expect: only 100-continue is known");
  }
  if (!has_body) {
    at_ = stage::whole;
    return;
  }
  wants_continue_ = !head.expects.empty() && !head.version_1_0;
  head.eager(true);
  at_ = stage::body;
}

std::optional<http_answer> request_reader::turned_away(std::uint64_t body_bytes) const {
  if (!route_->admit) return std::nullopt;
  try {
    return route_->admit(parser_->request, body_bytes);
  } catch (const std::exception&) {
    return refusal_answer(500, "the request could not be handled");
  }
}

std::size_t request_reader::take_body(std::string_view bytes) {
  if (bytes.empty()) return 0;
  // Beast takes it for granted that a chunk's head or the end is not cut in its last five bytes.
  if (parser_->chunked() && bytes.size() < chunk_end_bytes) return 0;
  beast_code ec;
  const std::size_t taken = parser_->put({bytes.data(), bytes.size()}, ec);
  if (parser_->status != 0) {
    refuse(parser_->status, parser_->why);
  } else if (ec && ec != beast_http::error::need_more) {
    refuse(400, "the body is damaged: " + ec.message());
  } else if (parser_->is_done()) {
    at_ = stage::whole;
  } else if (bytes.size() - taken > header_bytes_max_) {
    refuse(400, "the body is damaged: a chunk's head is too large");
  }
  return taken;
}

void request_reader::refuse(unsigned status, std::string why, bool close) {
  refusal_.status = status;
  refusal_.why = std::move(why);
  refusal_.close = close;
  refusal_.version_1_0 = parser_->version_1_0;
  refusal_.head_only = parser_->request.method == "HEAD";
  if (status == 503) refusal_.retry_after_s = retry_after_s;
  wants_continue_ = false;
  at_ = stage::refused;
}

whole_request request_reader::take_request() {
  CHECK(at_ == stage::whole);
  whole_request out;
  out.request = std::move(parser_->request);
  out.route = route_;
  out.head_only = out.request.method == "HEAD";
  if (out.head_only) out.request.method = route_->method;
  out.close = !parser_->keep_alive();
  out.version_1_0 = parser_->version_1_0;
  parser_.reset();
  at_ = stage::idle;
  return out;
}

refused_request request_reader::take_refusal() {
  CHECK(at_ == stage::refused);
  give_back();
  at_ = stage::idle;
  return std::exchange(refusal_, {});
}

}  // namespace headrace::actors
