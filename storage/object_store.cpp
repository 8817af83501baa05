#include "storage/object_store.hpp"

#include "storage/local_object_store.hpp"
#include "storage/s3_object_store.hpp"

#include <algorithm>

namespace headrace::storage {
namespace {

constexpr std::size_t name_bytes_max = 512;
constexpr std::string_view other_bytes = "._-#%+";

bool is_part(std::string_view part) {
  const auto allowed = [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || other_bytes.find(c) != std::string_view::npos;
  };
  return !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), allowed);
}

result<std::unique_ptr<object_store>> open_folder(const std::string& path) {
  auto opened = local_object_store::open(path);
  if (!opened) return opened.error();
  return std::unique_ptr<object_store>(std::move(*opened));
}

result<std::unique_ptr<object_store>> open_bucket(const std::string& uri) {
  auto settings = s3_settings::from_environment(uri);
  if (!settings) return settings.error();
  return std::unique_ptr<object_store>(std::make_unique<s3_object_store>(std::move(*settings)));
}

}  // namespace

result<void> check_object_name(std::string_view name) {
  bool good = name.size() <= name_bytes_max;
  for (std::string_view rest = name; good;) {
    const auto end = rest.find('/');
    good = is_part(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  if (good) return {};
  return error{errc::malformed,
               "'" + std::string(name.substr(0, name_bytes_max)) + "' is no name for an object"};
}

error damaged_object(const std::string& uri, const std::string& name) {
  return error{errc::corrupt,
               "'" + name + "' of " + uri +
                   " is damaged: its bytes do not have the hash it carries; use another "
                   "checkpoint, and remove this object so that the next upload stores it anew"};
}

error too_large_object(const std::string& uri, const std::string& name) {
  return error{errc::too_large, "'" + name + "' of " + uri + " is too large to be a manifest"};
}

result<std::unique_ptr<object_store>> open_object_store(const std::string& uri) {
  const auto scheme_end = uri.find("://");
  const std::string scheme = scheme_end == std::string::npos ? "" : uri.substr(0, scheme_end);
  const std::string rest = scheme_end == std::string::npos ? uri : uri.substr(scheme_end + 3);
  if (scheme == "s3") return open_bucket(uri);
  if (scheme == "file" && rest.starts_with('/')) return open_folder(rest);
  if (scheme.empty() && !rest.empty()) return open_folder(rest);
  return error{errc::bad_config,
               "'" + uri +
                   "' is no place for checkpoints: use file:///folder, a path, or "
                   "s3://bucket/prefix"};
}

}  // namespace headrace::storage
