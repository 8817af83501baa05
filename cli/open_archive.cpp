#include "cli/open_archive.hpp"

namespace headrace::cli {

result<std::unique_ptr<storage::checkpoint_archive>> open_archive(const std::string& uri,
                                                                  const clock& time) {
  auto store = storage::open_object_store(uri);
  if (!store) return store.error();
  return std::make_unique<storage::checkpoint_archive>(
      std::move(*store), time, storage::checkpoint_archive::options{});
}

}  // namespace headrace::cli
