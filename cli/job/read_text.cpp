#include "cli/job/read_text.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace headrace::cli {
namespace {

constexpr std::size_t text_bytes_max = std::size_t{16} << 20;  // no person writes more

}  // namespace

result<std::string> read_text(const std::filesystem::path& file, std::string_view what) {
  std::error_code failure;
  if (std::filesystem::is_directory(file, failure)) {
    return error{errc::bad_input, std::string(what) + " '" + file.string() + "' is a folder"};
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const errc code = errno == ENOENT ? errc::not_found : errc::io_error;
    return error{
        code,
        "cannot open " + std::string(what) + " '" + file.string() + "': " + std::strerror(errno)};
  }
  std::string text(text_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() <= text_bytes_max) return text;
  return error{errc::bad_input,
               std::string(what) + " '" + file.string() + "' is longer than 16 MiB: not one"};
}

}  // namespace headrace::cli
