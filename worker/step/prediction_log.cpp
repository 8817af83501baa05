#include "worker/step/prediction_log.hpp"

#include <cerrno>
#include <cstring>
#include <string>

namespace headrace::worker {

result<std::unique_ptr<prediction_log>> prediction_log::open(const std::filesystem::path& path,
                                                             bool go_on,
                                                             std::span<const std::string> labels) {
  auto made = std::make_unique<prediction_log>();
  made->path_ = path;
  made->file_.reset(std::fopen(path.c_str(), go_on ? "a" : "w"));
  if (!made->file_) {
    return error{errc::io_error,
                 "cannot write predictions to '" + path.string() + "': " + std::strerror(errno)};
  }
  std::fseek(made->file_.get(), 0, SEEK_END);
  if (std::ftell(made->file_.get()) == 0) {
    std::string names = "row";
    if (labels.size() < 2) names += "\tlabel\tonline\tfrozen";
    for (std::size_t l = 0; labels.size() > 1 && l < labels.size(); ++l) {
      for (const char* what : {"\tlabel ", "\tonline ", "\tfrozen "}) names += what + labels[l];
    }
    std::fputs((names + "\n").c_str(), made->file_.get());
  }
  return made;
}

void prediction_log::add(std::uint64_t row, float label, float online, const float* frozen) {
  add(row,
      std::span(&label, 1),
      std::span(&online, 1),
      frozen == nullptr ? std::span<const float>() : std::span(frozen, 1));
}

void prediction_log::add(std::uint64_t row,
                         std::span<const float> labels,
                         std::span<const float> online,
                         std::span<const float> frozen) {
  std::FILE* file = file_.get();
  std::fprintf(file, "%llu", static_cast<unsigned long long>(row));
  for (std::size_t l = 0; l < labels.size(); ++l) {
    std::fprintf(file, "\t%g\t%.7g\t", labels[l], online[l]);
    if (!frozen.empty()) std::fprintf(file, "%.7g", frozen[l]);
  }
  std::fputc('\n', file);
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
