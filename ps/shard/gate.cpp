#include "ps/shard/gate.hpp"

#include "ps/shard/finite.hpp"
#include "ps/table/decoded_rows.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace headrace::ps {
namespace {

using schemas::value_codec;

std::string text(std::uint64_t number) { return std::to_string(number); }

std::string what(const schemas::push_section& section) {
  return "batch " + text(section.batch.value) + " of " + to_string(section.source);
}

/// Rows over all blocks of a push or a pull.
template <class Section>
std::size_t rows_of(const Section& section) {
  std::size_t rows = 0;
  for (const auto& block : section.blocks) rows += block.keys.size();
  return rows;
}

result<void> check_codec(const schemas::table_spec& table, value_codec codec, value_codec last) {
  if (codec <= last) return {};
  return error{errc::bad_dims,
               "rows of table " + table.name + " in codec number " +
                   text(static_cast<unsigned>(codec)) +
                   ", which this build does not read; send fp32, int8, fp16 or bf16"};
}

/// Dim and the sizes that follow from it.
result<void> check_dims(const schemas::table_spec& table, const schemas::row_block& block) {
  if (auto known = check_codec(table, block.codec, value_codec::int4); !known) return known;
  if (block.dim != table.dim) {
    return error{errc::bad_dims,
                 "table " + table.name + " has rows of " + text(table.dim) +
                     " floats, the push brings " + text(block.dim)};
  }
  if (schemas::sizes_fit(block)) return {};
  return error{errc::bad_dims,
               "values, scales or counts for table " + table.name + " do not fit its " +
                   text(block.keys.size()) + " keys"};
}

/// Of topk and int4, whose scales rows share.
double sum_of_shared_scales(const schemas::row_block& block) {
  if (first_not_finite(value_codec::fp16, block.scales) < block.scales.size())
    return std::numeric_limits<double>::infinity();
  if (block.codec == value_codec::topk) {
    const auto codes = schemas::split_topk(block.values).codes;
    const std::size_t whole = codes.size() / schemas::topk_block;
    double sum = ps::sum_of_squares(codes, block.scales.first(whole), schemas::topk_block);
    const auto rest = codes.subspan(whole * schemas::topk_block);
    return sum + ps::sum_of_squares(rest, block.scales.subspan(whole), rest.size());
  }
  double sum = 0.0;
  decoded_rows decoded(block);
  std::size_t begin = 0;
  while (const std::size_t size = decoded.rows_from(begin)) {
    sum += ps::sum_of_squares(decoded.take(begin).fp32_values());
    begin += size;
  }
  return sum;
}

double sum_of_squares(const schemas::row_block& block) {
  if (block.codec == value_codec::fp32) return ps::sum_of_squares(block.fp32_values());
  if (block.codec == value_codec::int8) {
    return ps::sum_of_squares(block.int8_codes(), block.scales, block.dim);
  }
  if (!schemas::is_row_codec(block.codec)) return sum_of_shared_scales(block);
  return ps::sum_of_squares(block.codec, block.half_words());
}

/// The first row, or scale that rows share, that holds something infinite or NaN.
std::size_t bad_place(const schemas::row_block& block) {
  if (!block.scales.empty()) return first_not_finite(value_codec::fp16, block.scales);
  if (block.codec == value_codec::fp32) return first_not_finite(block.fp32_values()) / block.dim;
  return first_not_finite(block.codec, block.half_words()) / block.dim;
}

/// Names the row that is not finite, or the scale.
error not_finite(const schemas::table_spec& table, const schemas::row_block& block) {
  const bool int8 = block.codec == value_codec::int8;
  const std::size_t place = bad_place(block);
  const std::string what =
      schemas::is_row_codec(block.codec)
          ? std::string(int8 ? "scale" : "gradient") + " of row " + text(block.keys[place])
          : "scale " + text(place);
  return {errc::not_finite, what + " of table " + table.name + " is not a finite number"};
}

}  // namespace

gate::gate(shard_id shard,
           const schemas::job_schema& schema,
           shard_limits limits,
           headrace::epoch epoch)
    : shard_(shard), schema_(schema), limits_(limits), epoch_(epoch) {}

result<void> gate::check_addressed(shard_id shard,
                                   headrace::epoch epoch,
                                   std::uint32_t version) const {
  if (shard != shard_) {
    return error{
        errc::malformed,
        "section for shard " + text(shard.value) + " was sent to shard " + text(shard_.value)};
  }
  if (epoch != epoch_) {
    return error{errc::stale_epoch,
                 "shard " + text(shard_.value) + " is in epoch " + text(epoch_.value) +
                     ", the request names " + text(epoch.value) + "; ask for the shard map again"};
  }
  if (version != schema_.version) {
    return error{errc::stale_schema,
                 "the job is at schema version " + text(schema_.version) + ", the request names " +
                     text(version) + "; connect again"};
  }
  return {};
}

result<void> gate::check_request(const schemas::push_section& section) const {
  const std::size_t bytes = section.bytes.size();
  if (bytes > limits_.section_bytes_max) {
    return error{errc::too_large,
                 what(section) + " has " + text(bytes) + " bytes, the limit is " +
                     text(limits_.section_bytes_max)};
  }
  if (const std::size_t rows = rows_of(section); rows > limits_.rows_per_push_max) {
    return error{errc::too_large,
                 what(section) + " has " + text(rows) + " rows for one shard, the limit is " +
                     text(limits_.rows_per_push_max) + "; make batches smaller"};
  }
  if (section.source.generation == 0) {
    return error{errc::malformed,
                 what(section) + ": generations begin at 1; fix the name of the source"};
  }
  return check_addressed(section.shard, section.epoch, section.schema_version);
}

result<void> gate::check_request(const schemas::pull_section& section) const {
  if (const std::size_t rows = rows_of(section); rows > limits_.rows_per_push_max) {
    return error{errc::too_large,
                 "pull of " + text(rows) + " rows from one shard, the limit is " +
                     text(limits_.rows_per_push_max)};
  }
  return check_addressed(section.shard, section.epoch, section.schema_version);
}

result<const schemas::table_spec*> gate::find_table(table_id id) const {
  if (id.value < schema_.tables.size()) return &schema_.tables[id.value];
  return error{
      errc::unknown_table,
      "table " + text(id.value) + " is not one of the job's " + text(schema_.tables.size())};
}

result<void> gate::check_keys(table_id table, std::span<const std::uint64_t> keys) const {
  const auto refusal = [&](std::uint64_t key, const char* why) {
    return error{errc::bad_keys, "key " + text(key) + " of table " + text(table.value) + why};
  };
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys[i - 1] >= keys[i]) return refusal(keys[i], " is not above the key before it");
    if (schemas::shard_of(row_key{keys[i]}, schema_.shards) != shard_) {
      return refusal(keys[i], " does not live on this shard");
    }
  }
  return {};
}

result<void> gate::check_block(const schemas::pull_block& block) const {
  const auto table = find_table(block.table);
  if (!table) return table.error();
  if (auto known = check_codec(**table, block.codec, value_codec::bf16); !known) return known;
  return check_keys(block.table, block.keys);
}

result<void> gate::check_blocks(const schemas::push_section& section) const {
  const schemas::row_block* before = nullptr;
  for (const schemas::row_block& block : section.blocks) {
    const auto table = find_table(block.table);
    if (!table) return table.error();
    if (before != nullptr && before->table >= block.table) {
      return error{errc::bad_keys,
                   "table " + (*table)->name + " comes twice or out of order in " + what(section)};
    }
    if (auto fits = check_dims(**table, block); !fits) return fits;
    if (auto good = check_keys(block.table, block.keys); !good) return good;
    before = &block;
  }
  return {};
}

result<double> gate::check_values(const schemas::push_section& section) const {
  double squares = 0.0;
  for (const schemas::row_block& block : section.blocks) {
    const double more = sum_of_squares(block);
    if (!std::isfinite(more)) return not_finite(schema_.tables[block.table.value], block);
    squares += more;
  }
  const double norm = std::sqrt(squares);
  const double median =
      limits_.norm_factor_max > 0.0 ? norms_.of(section.source, section.lane) : 0.0;
  if (median > 0.0 && norm > median * limits_.norm_factor_max) {
    return error{errc::norm_exceeded,
                 "gradient norm " + std::to_string(norm) + " of " + what(section) +
                     " is more than " + std::to_string(limits_.norm_factor_max) +
                     " times the source's median " + std::to_string(median)};
  }
  return norm;
}

void gate::learn_norm(const schemas::push_section& section, double norm) {
  norms_.learn(section.source, section.lane, norm);
}

}  // namespace headrace::ps
