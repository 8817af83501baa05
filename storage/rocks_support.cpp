#include "storage/rocks_support.hpp"

#include <string>

namespace headrace::storage {

error rocks_error(const rocksdb::Status& status,
                  const std::filesystem::path& path,
                  std::string_view what) {
  const std::string text =
      "cannot " + std::string(what) + " '" + path.string() + "': " + status.ToString();
  if (status.IsCorruption())
    return {errc::corrupt, text + "; restore the state folder from a copy"};
  if (status.IsNoSpace() || text.find("File too large") != std::string::npos) {
    return {errc::disk_full, text + "; free space on that disk or raise its limit"};
  }
  return {errc::io_error, text};
}

error rocks_open_error(const rocksdb::Status& status, const std::filesystem::path& path) {
  const std::string text = status.ToString();
  const bool locked = status.IsIOError() && text.find("LOCK") != std::string::npos;
  if (locked) {
    return {errc::in_use,
            "the rows in '" + path.string() + "' are in use by another process; stop it first (" +
                text + ")"};
  }
  return rocks_error(status, path, "open the rows in");
}

}  // namespace headrace::storage
