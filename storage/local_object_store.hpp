#pragma once

#include "storage/file_io.hpp"
#include "storage/object_store.hpp"

namespace headrace::storage {

/// Objects as files of a folder: contents, then 75 bytes `\n# sha256 HEX\n` that carry their hash
/// (a comment in a text file; `head -c -75` gives the contents). Written as `.partial-…` in the
/// folder's root, synced, renamed. What a killed process left there is removed when the next one
/// opens the store; what another process is writing (it holds a lock) is let be.
class local_object_store final : public object_store {
 public:
  static constexpr std::size_t trailer_bytes = 75;

  /// Makes the folder if there is none. Fails: io_error, disk_full.
  static result<std::unique_ptr<local_object_store>> open(const std::filesystem::path& folder);

  using object_store::put;
  const std::string& uri() const override { return uri_; }
  result<void> put(const std::string& name, std::span<const std::byte> bytes) override;
  result<void> put_file(const std::string& name,
                        const std::filesystem::path& file,
                        const std::string& sha256) override;
  result<std::vector<std::byte>> get(const std::string& name) override;
  result<std::string> get_to(const std::string& name, const std::filesystem::path& path) override;
  result<std::vector<object_entry>> list(const std::string& prefix) override;
  result<void> remove(const std::string& name) override;
  result<bool> exists(const std::string& name) override;

 private:
  struct opened_object;
  struct check_hash;

  explicit local_object_store(std::filesystem::path folder);
  std::filesystem::path path_of(const std::string& name) const { return folder_ / name; }
  result<opened_object> open_object(const std::string& name) const;
  result<void> sweep_partials() const;
  template <class Write>
  result<void> store(const std::string& name, Write&& write, const check_hash& check);

  std::filesystem::path folder_;
  std::string uri_;
};

}  // namespace headrace::storage
