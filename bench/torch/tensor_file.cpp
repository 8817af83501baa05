#include "bench/torch/tensor_file.hpp"

#include "base/check.hpp"

#include <cmath>
#include <fstream>
#include <ios>
#include <string>

namespace headrace::bench {

result<void> write_tensor(const std::filesystem::path& file, std::span<const float> values) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size_bytes()));
  out.close();
  if (!out) return error{errc::io_error, "cannot write " + file.string()};
  return {};
}

result<std::vector<float>> read_tensor(const std::filesystem::path& file, std::size_t n) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) return error{errc::io_error, "cannot read " + file.string()};
  const auto bytes = static_cast<std::size_t>(in.tellg());
  if (bytes != n * sizeof(float)) {
    return error{errc::malformed,
                 file.string() + " has " + std::to_string(bytes) + " bytes, not " +
                     std::to_string(n * sizeof(float))};
  }
  std::vector<float> values(n);
  in.seekg(0);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(bytes));
  if (!in) return error{errc::io_error, "cannot read " + file.string()};
  return values;
}

double relative_difference(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]);
    const double y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(size > 0 ? difference / size : difference);
}

}  // namespace headrace::bench
