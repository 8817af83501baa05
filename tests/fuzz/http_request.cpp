#include "actors/http/http_text.hpp"
#include "actors/http/request_reader.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <string>
#include <string_view>

/// A connection's bytes, in pieces of the size that the first byte names and all at once, through
/// routes with small bounds: nothing beyond the bounds is kept, every refusal says why, and no byte
/// of a body stays counted. (Which refusal comes first may differ: a torn header can be too large
/// before it is seen to be wrong.)
namespace {

using namespace headrace;
using namespace headrace::actors;

constexpr std::size_t header_bytes_max = 512;
constexpr std::size_t room_bytes = 300;

// What was read, as text; a connection ends at the first refusal that says so.
std::string read_all(std::string_view bytes, std::size_t piece) {
  static const route_table routes(
      {{"GET", "/*", {}, 0}, {"POST", "/in", {}, 64}, {"PUT", "/in", {}, 1'000}});
  byte_room room(room_bytes);
  std::string told;
  {
    request_reader reader(routes, room, header_bytes_max, "127.0.0.1:1");
    std::string held;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      held += bytes.substr(at, piece);
      for (bool more = true; more;) {
        const std::size_t taken = reader.take(held);
        CHECK(taken <= held.size());
        held.erase(0, taken);
        CHECK(room.used() <= room_bytes);
        CHECK(reader.body_left() <= 1'000);
        (void)reader.wants_continue();
        more = false;
        if (reader.at() == request_reader::stage::whole) {
          const auto whole = reader.take_request();
          CHECK(whole.request.body.size() <= whole.route->body_bytes_max);
          room.give(whole.request.body.size());
          told += whole.request.method + ' ' + whole.request.path + '?' + whole.request.query +
                  ' ' + whole.request.body + '\n';
          more = true;
        } else if (reader.at() == request_reader::stage::refused) {
          const auto refused = reader.take_refusal();
          CHECK(!refused.why.empty());
          append_answer(
              told, refusal_answer(refused.status, refused.why), {.allow = refused.allow});
          if (refused.close) return told + "end";
          more = true;
        }
      }
      CHECK(held.size() <= header_bytes_max + piece);
    }
  }
  CHECK(room.used() == 0);
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)read_all(bytes, std::max<std::size_t>(1, data[0]));
  (void)read_all(bytes, std::max<std::size_t>(1, bytes.size()));
  return 0;
}
