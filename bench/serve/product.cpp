#include "bench/serve/product.hpp"

#include "base/parse_number.hpp"
#include "base/random.hpp"
#include "bench/serve/http_load.hpp"

#include <arpa/inet.h>
#include <fstream>
#include <netinet/in.h>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace headrace::bench {
namespace {

constexpr std::uint64_t ids_of_column = 20'000;
constexpr auto ask_again = std::chrono::milliseconds(20);

// Some ids are met far more often: the square of an even draw. Column k of its own.
std::uint64_t id_of(std::uint64_t draw, std::uint32_t column) {
  const std::uint64_t drawn = mix64(draw * 64 + column) >> 11;
  const double even = static_cast<double>(drawn) / 9007199254740992.0;
  return static_cast<std::uint64_t>(even * even * even * static_cast<double>(ids_of_column));
}

std::string columns(char letter, std::uint32_t count, std::uint32_t first, std::uint64_t draw) {
  std::string text;
  for (std::uint32_t c = 0; c < count; ++c) {
    text += text.empty() ? "\"" : ",\"";
    text += letter + std::to_string(c) + "\":" + std::to_string(id_of(draw, first + c));
  }
  return text;
}

void append_column_names(std::string& text, const serve_options& options, const char* between) {
  for (std::uint32_t c = 0; c < options.user_columns; ++c)
    text += "u" + std::to_string(c) + between;
  for (std::uint32_t c = 0; c < options.item_columns; ++c)
    text += "c" + std::to_string(c) + between;
}

result<void> write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.flush();
  if (!out) return error{errc::io_error, "cannot write '" + file.string() + "'"};
  return {};
}

}  // namespace

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(socket);
  return bound ? ntohs(address.sin_port) : 0;
}

std::string user_columns(const serve_options& options, std::uint64_t draw) {
  return columns('u', options.user_columns, 0, draw);
}

std::string item_columns(const serve_options& options, std::uint64_t draw) {
  return columns('c', options.item_columns, options.user_columns, draw);
}

std::string predict_body(const serve_options& options, std::uint64_t number) {
  std::string body = "{\"user\":{" + user_columns(options, number) + "},\"candidates\":[";
  for (std::uint32_t i = 0; i < options.candidates; ++i)
    body += (i == 0 ? "{" : ",{") + item_columns(options, number * options.candidates + i) + "}";
  return body + "]}";
}

std::string lookup_body(const serve_options& options, std::uint64_t number) {
  std::string body = R"({"feature":"c0","ids":[)";
  for (std::uint32_t i = 0; i < options.rows; ++i) {
    const auto id = id_of(number * options.rows + i, options.user_columns);
    body += (i == 0 ? "" : ",") + std::to_string(id);
  }
  return body + "]}";
}

result<std::filesystem::path> write_serve_job(const serve_options& options) {
  const std::filesystem::path job = options.dir / "job.toml";
  const std::filesystem::path rows = options.dir / "rows.csv";
  std::string text;
  append_column_names(text, options, ",");
  text += "click\n";
  for (std::uint64_t event = 0; event < options.events; ++event) {
    const std::uint32_t all = options.user_columns + options.item_columns;
    for (std::uint32_t c = 0; c < all; ++c) text += std::to_string(id_of(event, c)) + ",";
    text += mix64(event) % 4 == 0 ? "1\n" : "0\n";
  }
  if (auto written = write(rows, text); !written) return written.error();
  text = "[job]\nname = \"bench\"\n[source]\nuri = \"file://" + rows.string() +
         "\"\nlabel = \"click > 0\"\n";
  for (std::uint32_t c = 0; c < options.user_columns; ++c)
    text += "[features.u" + std::to_string(c) + "]\n";
  for (std::uint32_t c = 0; c < options.item_columns; ++c)
    text += "[features.c" + std::to_string(c) + "]\n";
  text += "[model]\narch = \"deepfm\"\ndim = " + std::to_string(options.dim) +
          "\n[durability]\nlog = \"os\"\n[serve]\nthreads = " + std::to_string(options.threads) +
          "\n";
  if (auto written = write(job, text); !written) return written.error();
  return job;
}

result<std::filesystem::path> write_freshness_job(const freshness_options& options) {
  const std::filesystem::path job = options.dir / "job.toml";
  std::string events = options.events;
  if (const auto tcp = events.find("tcp://"); tcp == 0) events.replace(0, 6, "zmq://");
  const std::string text =
      "[job]\nname = \"bench\"\n[source]\nuri = \"" + events + "\"\nstatus = \"http://" +
      options.status +
      "\"\nlabel = \"click > 0\"\n[features.user]\n[features.item]\n[features.query]\n"
      "[model]\narch = \"" +
      options.arch + "\"\ndim = " + std::to_string(options.dim) +
      "\n[train]\nbatch_max = " + std::to_string(options.batch_max) + "\nbatch_wait = \"" +
      std::to_string(options.wait_ms) + "ms\"\nin_flight = " + std::to_string(options.in_flight) +
      "\n[durability]\nlog = \"os\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n[serve]\n"
      "http = \"http://" +
      options.address + "\"\ninterval = \"" + std::to_string(options.interval_ms) + "ms\"\n";
  if (auto written = write(job, text); !written) return written.error();
  return job;
}

result<void> wait_until_ready(const std::string& address, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  std::string last = "nobody listens there";
  while (std::chrono::steady_clock::now() < until) {
    if (auto line = http_line::connect(address)) {
      const auto answer = (*line)->ask(http_text("/readyz"), std::chrono::seconds(5));
      if (answer && answer->status == 200) return {};
      last = answer ? answer->body : describe(answer.error());
    }
    std::this_thread::sleep_for(ask_again);
  }
  return error{errc::timeout, "http://" + address + " is not ready: " + last};
}

std::uint64_t whole_in(const std::string& json, const std::string& key) {
  const std::string named = "\"" + key + "\":";
  const auto at = json.find(named);
  if (at == std::string::npos) return 0;
  const auto from = at + named.size();
  const auto end = json.find_first_not_of("0123456789", from);
  return parse_number<std::uint64_t>(std::string_view(json).substr(from, end - from)).value_or(0);
}

}  // namespace headrace::bench
