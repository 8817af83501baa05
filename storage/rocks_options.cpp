#include "storage/rocks_options.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdarg>

namespace headrace::storage {
namespace {

bool supports(rocksdb::CompressionType type) {
  const auto supported = rocksdb::GetSupportedCompressions();
  return std::ranges::find(supported, type) != supported.end();
}

// RocksDB's own LOG file would be written through a file writer that Debian's build ends the
// process with (an assertion) on the next line after a line that a full disk refused. What matters
// comes back as a status anyway.
class no_info_log final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, std::va_list) override {}
};

std::shared_ptr<rocksdb::TableFactory> table_factory(const rocks_tuning& how) {
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.block_size = std::size_t{4} << 10;  // a row that is missed reads one
  table.block_cache = rocksdb::NewLRUCache(how.block_cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

// Runs of like size are merged, and all of them once the newer ones hold twice the bytes of the
// oldest. Levels, which merge every eight new files into all the rows there are, take a third of
// the rows a second when files are small. Readers pay with a Bloom filter for each run.
void compact_sorted_runs(rocksdb::Options& options, bool compress_oldest) {
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  options.compaction_options_universal.size_ratio = 20;
  options.compaction_options_universal.max_size_amplification_percent = 200;
  options.level0_file_num_compaction_trigger = 8;
  options.level0_slowdown_writes_trigger = level0_files_max;
  options.level0_stop_writes_trigger = 2 * level0_files_max;
  options.compaction_readahead_size = std::size_t{2} << 20;
  options.max_background_jobs =
      3;  // one large merge, a small one beside it, a flush that never comes
  options.compression = rocksdb::kNoCompression;  // floats that are rewritten each minute
  if (!compress_oldest || !supports(rocksdb::kZSTD)) return;
  options.bottommost_compression = rocksdb::kZSTD;
  options.bottommost_compression_opts.enabled = true;
  options.bottommost_compression_opts.level = 1;  // weights hardly compress at any
}

}  // namespace

rocksdb::Options rocks_options(const rocks_tuning& how) {
  rocksdb::Options options;
  options.env = how.files;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.info_log = std::make_shared<no_info_log>();
  options.max_open_files =
      how.read_only ? -1 : 512;  // all at once: a compaction elsewhere can't remove them under us
  compact_sorted_runs(options, how.compress_oldest);
  options.bytes_per_sync = std::size_t{4} << 20;  // begin to write back before the sync at the end
  options.compaction_filter_factory = how.expiry;
  options.listeners = how.listeners;
  options.table_factory = table_factory(how);
  return options;
}

rocksdb::ReadOptions rocks_scan_options() {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = std::size_t{2} << 20;
  return options;
}

rocksdb::ReadOptions rocks_read_options() {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

}  // namespace headrace::storage
