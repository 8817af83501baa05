#include "worker/step/prediction_log.hpp"

#include <cerrno>
#include <cstring>
#include <string>

namespace headrace::worker {

result<std::unique_ptr<prediction_log>> prediction_log::open(const std::filesystem::path& path,
                                                             bool go_on) {
  auto made = std::make_unique<prediction_log>();
  made->path_ = path;
  made->file_.reset(std::fopen(path.c_str(), go_on ? "a" : "w"));
  if (!made->file_) {
    return error{errc::io_error,
                 "cannot write predictions to '" + path.string() + "': " + std::strerror(errno)};
  }
  std::fseek(made->file_.get(), 0, SEEK_END);
  if (std::ftell(made->file_.get()) == 0)
    std::fputs("row\tlabel\tonline\tfrozen\n", made->file_.get());
  return made;
}

void prediction_log::add(std::uint64_t row, float label, float online, const float* frozen) {
  if (frozen != nullptr) {
    std::fprintf(file_.get(),
                 "%llu\t%g\t%.7g\t%.7g\n",
                 static_cast<unsigned long long>(row),
                 label,
                 online,
                 *frozen);
  } else {
    std::fprintf(
        file_.get(), "%llu\t%g\t%.7g\t\n", static_cast<unsigned long long>(row), label, online);
  }
}

result<void> prediction_log::close() {
  const bool failed = std::ferror(file_.get()) != 0 || std::fflush(file_.get()) != 0;
  const int why = errno;
  file_.reset();
  if (!failed) return {};
  return error{why == ENOSPC ? errc::disk_full : errc::io_error,
               "cannot write predictions to '" + path_.string() + "': " + std::strerror(why)};
}

}  // namespace headrace::worker
