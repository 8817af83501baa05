#include "storage/partial_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace headrace::storage {
namespace {

constexpr std::uint64_t writeback_bytes = std::uint64_t{8} << 20;

}  // namespace

result<partial_file> partial_file::open(std::filesystem::path path) {
  auto file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) return file.error();
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) {
    return error{errc::in_use, "another process is writing '" + path.string() + "'"};
  }
  return partial_file(std::move(*file), std::move(path));
}

partial_file::~partial_file() {
  if (file_) ::unlink(path_.c_str());
}

result<void> partial_file::write(std::span<const std::byte> bytes) {
  ::iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};  // only read
  const int code = bytes.empty() ? 0 : write_at(file_.get(), std::span(&piece, 1), written_);
  if (code != 0) return file_error("write", path_, code);
  hasher_->update(bytes);
  written_ += bytes.size();
  if (written_ - on_its_way_ >= writeback_bytes) {
    // Lets the disk work meanwhile; commit's sync is what counts, so a refusal is no failure.
    (void)::sync_file_range(file_.get(),
                            static_cast<::off64_t>(on_its_way_),
                            static_cast<::off64_t>(written_ - on_its_way_),
                            SYNC_FILE_RANGE_WRITE);
    on_its_way_ = written_;
  }
  return {};
}

result<void> partial_file::restart() {
  if (::ftruncate(file_.get(), 0) != 0) return file_error("empty", path_, errno);
  (void)hasher_->finish_hex();
  written_ = 0;
  on_its_way_ = 0;
  return {};
}

result<void> partial_file::commit(const std::filesystem::path& path) {
  if (::fdatasync(file_.get()) != 0) return file_error("sync", path_, errno);
  if (::rename(path_.c_str(), path.c_str()) != 0) return file_error("write", path, errno);
  file_.reset();
  return sync_folder(path.parent_path().empty() ? "." : path.parent_path());
}

result<std::string> sha256_of_file(const std::filesystem::path& path) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  const auto bytes = file_size(*file, path);
  if (!bytes) return bytes.error();
  sha256_hasher hasher;
  auto read = for_each_piece(*file, path, *bytes, [&](auto piece) {
    hasher.update(piece);
    return result<void>();
  });
  if (!read) return read.error();
  return hasher.finish_hex();
}

}  // namespace headrace::storage
