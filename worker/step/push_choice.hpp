#pragma once

#include "base/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// How the gradients of one table travel: `[tables.NAME] push` of a job file.
///
/// fp32, int8: row by row, as ever. int4: in blocks of 32 values. topk5, topk10: the largest 5 or
/// 10 % of the values of all the table's rows on a shard, in int8. automatic: topk10, and int8 now
/// and then (dense_packer.hpp). topk and automatic are for tables whose rows are all pushed every
/// time: what they leave out is kept and sent later.
enum class push_choice : std::uint8_t { fp32, int8, int4, topk5, topk10, automatic };
/// As job files spell it.
std::string_view name(push_choice choice);

/// True for those that leave values out, and so only work with error feedback.
constexpr bool leaves_out(push_choice choice) { return choice >= push_choice::topk5; }

/// The values of n that topk5, topk10 or automatic sends of batch `batch` of a source: at least
/// one.
///
/// From 25 % at the beginning of a source down to the share itself at its batch 1,000, linearly:
/// early gradients are large everywhere (warm-up of Lin et al., arXiv 1712.01887). Follows from the
/// batch number alone, so a restarted worker goes on where it was.
std::size_t values_chosen(push_choice choice, std::size_t n, batch_number batch);

/// How each table of a job travels.
struct push_spec {
  std::vector<push_choice> tables;  // one for each table of the schema
  bool packed_keys =
      false;  // of fp32 and int8 rows too (schemas/packed_numbers.hpp); others always
};

}  // namespace headrace::worker
