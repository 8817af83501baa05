#pragma once

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_cases.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace headrace::kernels {

/// Norms of the gradients with P (|d_o Vᵀ| + |D|) for dS, and magnitudes in every sum: what
/// rounding is measured by.
struct gradient_norms {
  explicit gradient_norms(attention_case<double> one) {
    one.forward([](const auto& args) { attention_ref(args); });
    const basic_attention_args<double> args = one.forward_args();
    q.assign(one.tokens * one.q_width, 0.0);
    k.assign(one.tokens * one.kv_width, 0.0);
    v.assign(one.tokens * one.kv_width, 0.0);
    table.assign(one.table.span().size(), 0.0);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = std::abs(one.table_before.span()[i]);
    for (std::size_t s = 0; s + 1 < one.offsets.size(); ++s) {
      for (std::size_t h = 0; h < args.heads; ++h) {
        if (one.active.empty() || one.active[s * args.heads + h] != 0) add_head(one, args, s, h);
      }
    }
  }

  void add_head(const attention_case<double>& one,
                const basic_attention_args<double>& args,
                std::size_t s,
                std::size_t h) {
    for (std::size_t i = one.offsets[s]; i < one.offsets[s + 1]; ++i) {
      double mean = 0.0;
      for (std::size_t c = 0; c < args.head_dim; ++c) {
        const std::size_t at = i * one.q_width + h * args.head_dim + c;
        mean += std::abs(one.d_o.span()[at] * one.o.span()[at]);
      }
      for (std::size_t j = one.offsets[s]; j < one.offsets[s + 1]; ++j) {
        if (sees(args.mask, i - one.offsets[s], j - one.offsets[s]))
          add_pair(one, args, h, i, j, mean);
      }
    }
  }

  void add_pair(const attention_case<double>& one,
                const basic_attention_args<double>& args,
                std::size_t h,
                std::size_t i,
                std::size_t j,
                double mean) {
    const std::size_t d = args.head_dim;
    const std::size_t kv = h / (args.heads / args.kv_heads) * d;
    const double* query = args.q + i * args.q_stride + h * d;
    const double* key = args.k + j * args.k_stride + kv;
    const double* value = args.v + j * args.v_stride + kv;
    const double* d_o = one.d_o.span().data() + i * one.q_width + h * d;
    double score = 0.0;
    double gradient = mean;
    for (std::size_t c = 0; c < d; ++c) {
      score += args.scale * query[c] * key[c];
      gradient += std::abs(d_o[c] * value[c]);
    }
    const auto offset = static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i);
    if (!args.alibi_slopes.empty())
      score -= args.alibi_slopes[h] * std::abs(static_cast<double>(offset));
    const auto limit = static_cast<std::ptrdiff_t>(args.max_distance);
    const std::size_t bucket = h * (2 * args.max_distance + 1) +
                               static_cast<std::size_t>(std::clamp(offset, -limit, limit) + limit);
    if (!table.empty()) score += args.bias_table[bucket];
    const double weight = std::exp(score - one.lse.span()[i * args.heads + h]);
    for (std::size_t c = 0; c < d; ++c) {
      q[i * one.q_width + h * d + c] += args.scale * weight * gradient * std::abs(key[c]);
      k[j * one.kv_width + kv + c] += args.scale * weight * gradient * std::abs(query[c]);
      v[j * one.kv_width + kv + c] += weight * std::abs(d_o[c]);
    }
    if (!table.empty()) table[bucket] += weight * gradient;
  }

  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> table;
};

}  // namespace headrace::kernels
