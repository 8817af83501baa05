#include "ps/shard/decisions.hpp"

#include "base/check.hpp"
#include "ps/recovery/install.hpp"
#include "ps/shard/admission.hpp"
#include "ps/shard/quarantine.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

/// What an owner decides and writes into records and positions: admitted rows, removals, installed
/// rows, sketches, quarantine. What is read is written to the same bytes again.
namespace {

using namespace headrace;

bool same(const frame& written, std::span<const std::byte> read) {
  return std::ranges::equal(written.bytes(), read);
}

void read_admissions(std::span<const std::byte> bytes) {
  // The number of rows comes from the push; here the most that so many bytes can speak of.
  const std::size_t rows = bytes.size() > 8 ? (bytes.size() - 8) * 8 : 0;
  for (const std::size_t asked : {rows, rows - std::min<std::size_t>(rows, 5), std::size_t{7}}) {
    const auto read = ps::decode_admissions(bytes, asked);
    if (!read) continue;
    CHECK(read->admitted() <= asked);
    CHECK(same(ps::encode_admissions(*read), bytes));
  }
}

void read_judgement(std::span<const std::byte> bytes) {
  ps::quarantine ward;
  byte_reader of_ward(bytes);
  if (ward.load(of_ward)) {
    byte_writer out;
    ward.save(out);
    const auto saved = out.take();
    byte_reader in(saved);
    CHECK(ps::quarantine().load(in).ok());
  }
  schemas::table_spec spec;
  spec.admission.count = 2;
  byte_reader of_rule(bytes);
  static_cast<void>(ps::admission(spec).load(of_rule));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read_admissions(bytes);
  if (const auto removal = ps::decode_removal(bytes))
    CHECK(same(ps::encode_removal(*removal), bytes));
  if (const auto installed = ps::decode_installed(bytes))
    CHECK(same(ps::encode_installed(*installed), bytes));
  read_judgement(bytes);
  return 0;
}
