#include "storage/http_exchange.hpp"

#include "storage/file_io.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <fcntl.h>

namespace headrace::storage {
namespace {

// What one request sends and has received so far: libcurl hands it back to the functions below.
struct transfer {
  const http_request& request;
  const http_sink& sink;
  const http_exchange::limits& limits;
  CURL* handle;
  file_handle file;
  std::uint64_t sent = 0;
  std::uint64_t bytes = 0;
  http_response response;
  std::optional<error> failed;

  // Into the failure that `send` returns; libcurl sees an abort.
  template <class Value>
  bool good(const result<Value>& outcome) {
    if (!outcome) failed = outcome.error();
    return outcome.ok();
  }
};

std::size_t read_body(char* into, std::size_t size, std::size_t count, void* data) {
  auto& it = *static_cast<transfer*>(data);
  const std::uint64_t wanted = std::min<std::uint64_t>(size * count, it.bytes - it.sent);
  const auto piece = std::as_writable_bytes(std::span(into, wanted));
  if (it.request.body_file) {
    const auto got = read_at(it.file, *it.request.body_file, piece, it.sent);
    if (!it.good(got)) return CURL_READFUNC_ABORT;
    if (*got < wanted) {
      it.failed =
          error{errc::io_error,
                "'" + it.request.body_file->string() + "' became shorter while it was sent"};
      return CURL_READFUNC_ABORT;
    }
    it.sent += wanted;
    return wanted;
  }
  if (wanted != 0) std::memcpy(into, it.request.body.data() + it.sent, wanted);
  it.sent += wanted;
  return wanted;
}

// libcurl sends a body again when a kept connection turns out to be gone.
int seek_body(void* data, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<transfer*>(data)->sent = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

std::size_t take_body(char* from, std::size_t size, std::size_t count, void* data) {
  auto& it = *static_cast<transfer*>(data);
  const std::size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(it.handle, CURLINFO_RESPONSE_CODE, &status);
  if (it.sink && status / 100 == 2)
    return it.good(it.sink(std::as_bytes(std::span(from, bytes)))) ? bytes : 0;
  if (bytes > it.limits.body_max - it.response.body.size()) {
    it.failed = error{errc::too_large, it.request.url + " answers more than expected"};
    return 0;
  }
  it.response.body.append(from, bytes);
  return bytes;
}

std::size_t take_header(char* from, std::size_t size, std::size_t count, void* data) {
  auto& it = *static_cast<transfer*>(data);
  const std::string_view line(from, size * count);
  if (line.starts_with("HTTP/")) it.response.headers.clear();  // after "100 Continue"
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto begin = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
  const auto end = std::max(line.find_last_not_of(" \t\r\n") + 1, begin);
  it.response.headers.emplace_back(std::move(name), line.substr(begin, end - begin));
  return line.size();
}

using header_list = std::unique_ptr<curl_slist, void (*)(curl_slist*)>;

header_list headers_of(const http_request& request) {
  header_list list(nullptr, curl_slist_free_all);
  for (const auto& [name, value] : request.headers) {
    const std::string line = name + ": " + value;
    list.reset(curl_slist_append(list.release(), line.c_str()));
  }
  return list;
}

void set_method(CURL* handle, transfer& it) {
  if (it.request.method == "PUT" || it.request.method == "POST") {
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, it.request.method.c_str());
    curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(it.bytes));
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(handle, CURLOPT_READDATA, &it);
    curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(handle, CURLOPT_SEEKDATA, &it);
    curl_easy_setopt(handle, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  } else if (it.request.method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else {
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, it.request.method.c_str());
  }
}

void set_options(CURL* handle, transfer& it, const curl_slist* headers) {
  curl_easy_setopt(handle, CURLOPT_URL, it.request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);  // what is sent is what was signed
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, static_cast<long>(it.limits.connect.count()));
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(it.limits.stall.count()));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &it);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &it);
  set_method(handle, it);
}

result<void> open_body(transfer& it) {
  it.bytes = it.request.body.size();
  if (!it.request.body_file) return {};
  auto file = open_file(*it.request.body_file, O_RDONLY);
  if (!file) return file.error();
  it.file = std::move(*file);
  const auto size = file_size(it.file, *it.request.body_file);
  if (!size) return size.error();
  it.bytes = *size;
  return {};
}

}  // namespace

const std::string& http_response::header(const std::string& name) const {
  static const std::string none;
  const auto found = std::find_if(
      headers.begin(), headers.end(), [&](const auto& field) { return field.first == name; });
  return found == headers.end() ? none : found->second;
}

struct http_exchange::state {
  limits how;
  std::unique_ptr<CURL, void (*)(CURL*)> handle{curl_easy_init(), curl_easy_cleanup};
};

http_exchange::http_exchange(const limits& how) : state_(std::make_unique<state>(state{how})) {}
http_exchange::~http_exchange() = default;

result<http_response> http_exchange::send(const http_request& request, const http_sink& sink) {
  CURL* const handle = state_->handle.get();
  if (handle == nullptr) return error{errc::unavailable, "libcurl did not start"};
  transfer it{request, sink, state_->how, handle, {}, 0, 0, {}, {}};
  if (auto opened = open_body(it); !opened) return opened.error();
  const header_list headers = headers_of(request);
  curl_easy_reset(handle);
  set_options(handle, it, headers.get());
  const CURLcode outcome = curl_easy_perform(handle);
  if (it.failed) return *it.failed;
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  it.response.status = static_cast<int>(status);
  if (outcome == CURLE_OK) return std::move(it.response);
  // A server that refuses a long body may close before it has read it: the answer counts.
  const bool refused = outcome == CURLE_SEND_ERROR && status >= 300;
  if (refused) return std::move(it.response);
  const errc code = outcome == CURLE_OPERATION_TIMEDOUT ? errc::timeout : errc::unavailable;
  return error{code, request.url + ": " + curl_easy_strerror(outcome)};
}

}  // namespace headrace::storage
