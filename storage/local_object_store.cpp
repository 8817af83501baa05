#include "storage/local_object_store.hpp"

#include "storage/partial_file.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view partial_mark = ".partial-";
constexpr std::string_view trailer_begin = "\n# sha256 ";
constexpr std::size_t digest_digits = 64;
static_assert(trailer_begin.size() + digest_digits + 1 == local_object_store::trailer_bytes);

std::string trailer_of(const std::string& sha256) {
  return std::string(trailer_begin) + sha256 + "\n";
}

std::string partial_name() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return std::string(partial_mark) + std::to_string(::getpid()) + "-" + std::to_string(now);
}

// A folder and what leads to it, so that they are there after a power cut.
result<void> make_lasting_folder(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return {};
  if (path.has_parent_path()) {
    if (auto parent = make_lasting_folder(path.parent_path()); !parent) return parent;
  }
  if (auto made = make_folder(path); !made) return made;
  return sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace

struct local_object_store::opened_object {
  file_handle file;
  fs::path path;
  std::uint64_t bytes = 0;  // of the contents
  std::string sha256;       // as carried
};

struct local_object_store::check_hash {
  const std::string* expected = nullptr;
  std::string from;
};

local_object_store::local_object_store(fs::path folder)
    : folder_(std::move(folder)), uri_("file://" + folder_.string()) {}

result<std::unique_ptr<local_object_store>> local_object_store::open(const fs::path& folder) {
  std::error_code failure;
  fs::path whole = fs::absolute(folder, failure).lexically_normal();
  if (failure) return file_error("find", folder, failure.value());
  if (!whole.has_filename() && whole.has_relative_path()) whole = whole.parent_path();
  if (auto made = make_lasting_folder(whole); !made) return made.error();
  std::unique_ptr<local_object_store> store(new local_object_store(std::move(whole)));
  if (auto swept = store->sweep_partials(); !swept) return swept.error();
  return store;
}

result<void> local_object_store::sweep_partials() const {
  std::error_code failure;
  for (fs::directory_iterator entry(folder_, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    if (!entry->path().filename().string().starts_with(partial_mark)) continue;
    const auto file = open_file(entry->path(), O_RDONLY);
    if (file && ::flock(file->get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
  }
  if (failure) return file_error("list", folder_, failure.value());
  return {};
}

template <class Write>
result<void> local_object_store::store(const std::string& name,
                                       Write&& write,
                                       const check_hash& check) {
  if (auto good = check_object_name(name); !good) return good;
  const fs::path path = path_of(name);
  if (auto made = make_lasting_folder(path.parent_path()); !made) return made;
  auto file = partial_file::open(folder_ / partial_name());
  if (!file) return file.error();
  if (auto written = write(*file); !written) return written;
  const std::string sha256 = file->finish_hash();
  if (check.expected && *check.expected != sha256)
    return error{errc::corrupt, "'" + check.from + "' does not have the hash " + *check.expected};
  const std::string trailer = trailer_of(sha256);
  if (auto ended = file->write(std::as_bytes(std::span(trailer))); !ended) return ended;
  return file->commit(path);
}

result<void> local_object_store::put(const std::string& name, std::span<const std::byte> bytes) {
  return store(name, [&](partial_file& into) { return into.write(bytes); }, {});
}

result<void> local_object_store::put_file(const std::string& name,
                                          const fs::path& file,
                                          const std::string& sha256) {
  const auto from = open_file(file, O_RDONLY);
  if (!from) return from.error();
  const auto bytes = file_size(*from, file);
  if (!bytes) return bytes.error();
  return store(name,
               [&](partial_file& into) {
                 return for_each_piece(
                     *from, file, *bytes, [&](auto piece) { return into.write(piece); });
               },
               {&sha256, file.string()});
}

result<local_object_store::opened_object> local_object_store::open_object(
    const std::string& name) const {
  if (auto good = check_object_name(name); !good) return good.error();
  opened_object object;
  object.path = path_of(name);
  auto file = open_file(object.path, O_RDONLY);
  if (!file) return file.error();
  object.file = std::move(*file);
  const auto size = file_size(object.file, object.path);
  if (!size) return size.error();
  std::string trailer(trailer_bytes, '\0');
  if (*size >= trailer_bytes) {
    object.bytes = *size - trailer_bytes;
    const auto read =
        read_at(object.file, object.path, std::as_writable_bytes(std::span(trailer)), object.bytes);
    if (!read) return read.error();
  }
  object.sha256 = trailer.substr(trailer_begin.size(), digest_digits);
  if (trailer != trailer_of(object.sha256)) return damaged_object(uri_, name);
  return object;
}

result<std::vector<std::byte>> local_object_store::get(const std::string& name) {
  auto object = open_object(name);
  if (!object) return object.error();
  if (object->bytes > get_bytes_max) return too_large_object(uri_, name);
  std::vector<std::byte> bytes(object->bytes);
  const auto got = read_at(object->file, object->path, bytes, 0);
  if (!got) return got.error();
  if (*got != bytes.size() || sha256_hex(bytes) != object->sha256)
    return damaged_object(uri_, name);
  return bytes;
}

result<std::string> local_object_store::get_to(const std::string& name, const fs::path& path) {
  auto object = open_object(name);
  if (!object) return object.error();
  auto into = partial_file::open(path.string() + std::string(partial_suffix));
  if (!into) return into.error();
  auto copied = for_each_piece(
      object->file, object->path, object->bytes, [&](auto piece) { return into->write(piece); });
  if (!copied) return copied.error();
  if (into->finish_hash() != object->sha256) return damaged_object(uri_, name);
  if (auto done = into->commit(path); !done) return done.error();
  return object->sha256;
}

result<std::vector<object_entry>> local_object_store::list(const std::string& prefix) {
  std::vector<object_entry> entries;
  std::error_code failure;
  const fs::path root = folder_ / prefix.substr(0, prefix.rfind('/') + 1);
  if (!fs::is_directory(root, failure)) return entries;
  for (fs::recursive_directory_iterator entry(root, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string name = entry->path().lexically_relative(folder_).generic_string();
    if (!entry->is_regular_file(failure) || !name.starts_with(prefix)) continue;
    if (!check_object_name(name)) continue;
    const std::uint64_t size = entry->file_size(failure);
    if (failure) break;
    entries.push_back({name, size - std::min<std::uint64_t>(size, trailer_bytes)});
  }
  if (failure) return file_error("list", folder_, failure.value());
  std::sort(
      entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

result<void> local_object_store::remove(const std::string& name) {
  if (auto good = check_object_name(name); !good) return good;
  const fs::path path = path_of(name);
  if (::unlink(path.c_str()) == 0) return sync_folder(path.parent_path());
  if (errno == ENOENT) return {};
  return file_error("remove", path, errno);
}

result<bool> local_object_store::exists(const std::string& name) {
  if (auto good = check_object_name(name); !good) return good.error();
  std::error_code failure;
  const auto status = fs::status(path_of(name), failure);
  if (status.type() == fs::file_type::none)
    return file_error("look at", path_of(name), failure.value());
  return fs::is_regular_file(status);
}

}  // namespace headrace::storage
