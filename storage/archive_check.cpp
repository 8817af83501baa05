#include "storage/archive_check.hpp"

#include <map>
#include <string>
#include <system_error>

namespace headrace::storage {
namespace {

bool is_damage(errc code) {
  return code == errc::corrupt || code == errc::not_found || code == errc::too_large;
}

}  // namespace

result<archive_findings> check_archive(checkpoint_archive& archive,
                                       object_store& store,
                                       const std::filesystem::path& scratch) {
  auto listed = archive.list();
  if (!listed) return listed.error();
  archive_findings found;
  found.checkpoints = listed->checkpoints.size();
  found.damaged = std::move(listed->damaged);
  struct wanted {
    std::uint64_t bytes = 0;
    std::string by;  // one that needs it
  };
  std::map<std::string, wanted> objects;
  for (const auto& one : listed->checkpoints) {
    for (const auto& file : one.files)
      objects[file.sha256] = {file.bytes, "checkpoint " + one.id + ", file '" + file.path + "'"};
  }
  const auto path = scratch / "object";
  for (const auto& [sha256, want] : objects) {
    const auto got = store.get_to("objects/" + sha256, path);
    if (!got && !is_damage(got.error().code)) return got.error();
    ++found.objects;
    found.bytes += want.bytes;
    if (!got) {
      found.damaged.push_back({got.error().code, want.by + ": " + got.error().detail});
    } else if (*got != sha256) {
      found.damaged.push_back(
          {errc::corrupt, want.by + ": the object of its name has the hash " + *got});
    }
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  return found;
}

}  // namespace headrace::storage
