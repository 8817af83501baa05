#include "storage/http_download.hpp"

#include <curl/curl.h>

#include <cstdio>
#include <memory>

namespace headrace::storage {
namespace {

struct destination {
  std::FILE* file;
  std::size_t left;
  bool overflow = false;
};

std::size_t take(char* data, std::size_t size, std::size_t count, void* to) {
  auto& into = *static_cast<destination*>(to);
  const std::size_t bytes = size * count;
  if (bytes > into.left) {
    into.overflow = true;
    return 0;
  }
  into.left -= bytes;
  return std::fwrite(data, 1, bytes, into.file);
}

}  // namespace

result<void> http_download(const std::string& url,
                           const std::filesystem::path& path,
                           const download_limits& limits) {
  const std::filesystem::path partial = path.string() + ".partial";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(partial.c_str(), "wb"),
                                                             std::fclose);
  if (!file) return error{errc::io_error, "cannot write '" + partial.string() + "'"};
  const std::unique_ptr<CURL, void (*)(CURL*)> request(curl_easy_init(), curl_easy_cleanup);
  if (!request) return error{errc::unavailable, "libcurl did not start"};
  destination into{file.get(), limits.bytes_max};
  curl_easy_setopt(request.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(request.get(), CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(request.get(), CURLOPT_WRITEDATA, &into);
  curl_easy_setopt(request.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(request.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(request.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(
      request.get(), CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits.connect.count()));
  curl_easy_setopt(request.get(), CURLOPT_TIMEOUT, static_cast<long>(limits.total.count()));
  const CURLcode outcome = curl_easy_perform(request.get());
  const bool written = std::fflush(file.get()) == 0;
  std::error_code failure;
  if (outcome == CURLE_OK && written) {
    std::filesystem::rename(partial, path, failure);
    if (!failure) return {};
  }
  std::filesystem::remove(partial, failure);
  if (into.overflow) return error{errc::too_large, url + " is larger than expected"};
  if (outcome != CURLE_OK)
    return error{errc::unavailable, url + ": " + curl_easy_strerror(outcome)};
  return error{errc::io_error, "cannot write '" + path.string() + "'"};
}

}  // namespace headrace::storage
