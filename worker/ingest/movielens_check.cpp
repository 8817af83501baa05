#include "worker/ingest/movielens_check.hpp"

#include "base/sha256.hpp"
#include "worker/ingest/record_reader.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {
namespace {

constexpr std::string_view known_sha256 =
    "3c61dc9b90a365d2ac50bdee9df8024ddf0eea4b1a15678d9934a77e75fe0ede";
constexpr std::uint64_t known_rows = 100'000;

// "3.0" and "3" are the same number: a fraction of zeros goes.
std::string_view as_integer(std::string_view number) {
  const std::size_t dot = number.find('.');
  if (dot == std::string_view::npos) return number;
  if (number.find_first_not_of('0', dot + 1) != std::string_view::npos) return number;
  return number.substr(0, dot);
}

bool is_header(std::string_view line) { return line.empty() || line[0] < '0' || line[0] > '9'; }

}  // namespace

result<void> check_movielens(const std::filesystem::path& file) {
  const record_layout layout{"\t", false, 4'096};
  auto reader = record_reader::open(file.string(), layout);
  if (!reader) return reader.error();
  std::vector<std::string> rows;
  record line;
  std::vector<std::string_view> fields;
  std::string scratch;
  for (bool first = true;; first = false) {
    auto more = reader->next(line);
    if (!more) return more.error();
    if (!*more) break;
    if (first && is_header(line.text)) continue;
    const bool usable =
        !line.bad && split_fields(line, layout, fields, scratch) && fields.size() == 4;
    if (!usable || rows.size() == known_rows) {
      return error{
          errc::bad_input,
          "'" + file.string() + "' line " + std::to_string(line.line) +
              (usable ? " is one row too many" : " is not four columns with tabs between")};
    }
    std::string row;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      row += i < 2 ? fields[i] : as_integer(fields[i]);
      row += i < 3 ? '\t' : '\n';
    }
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end());
  std::string all;
  for (const std::string& row : rows) all += row;
  const std::string sha256 = sha256_hex(all);
  if (sha256 == known_sha256) return {};
  return error{errc::bad_input,
               "'" + file.string() + "' has " + std::to_string(rows.size()) +
                   " rows that are not MovieLens-100K's (sha256 " + sha256 + ")"};
}

}  // namespace headrace::worker
