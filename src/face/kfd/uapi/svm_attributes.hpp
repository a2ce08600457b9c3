// SvmAttributes: the advice of one process about its own memory, by page.
//
// Linux 6.1, kfd_svm.c: svm_range_check_attr, svm_range_set_attr, svm_range_get_attr,
// svm_range_apply_attrs. Attributes are kept and answered; no memory moves.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "face/kfd/uapi/abi.hpp"

namespace sluice::kfd {

class SvmAttributes {
 public:
  // For GPUs 0 to gpus-1, which have the ids of gpu_id_of().
  explicit SvmAttributes(int gpus) : gpus_(gpus) {}

  // The attributes alone: 0 or EINVAL.
  [[nodiscard]] int check(std::span<const abi::SvmAttribute> attributes) const;
  // Sets them for whole pages, which must have been checked, like the attributes.
  // With XNACK pages that had none begin with access for all GPUs (svm_range_new).
  void set(std::uint64_t address, std::uint64_t size, bool xnack,
           std::span<const abi::SvmAttribute> attributes);
  // Fills in the values: what all of the pages agree on. 0 or EINVAL.
  [[nodiscard]] int get(std::uint64_t address, std::uint64_t size, bool xnack,
                        std::span<abi::SvmAttribute> attributes) const;
  // True if any of these bytes has attributes.
  [[nodiscard]] bool covers_any(std::uint64_t address, std::uint64_t size) const;

 private:
  struct Values {
    std::uint32_t preferred = abi::svm::undefined;
    std::uint32_t prefetch = abi::svm::undefined;
    std::uint32_t flags = abi::svm::host_access | abi::svm::coherent;
    std::uint8_t granularity = 9;
    std::uint64_t access = 0;    // a bit for each GPU
    std::uint64_t in_place = 0;  // a bit for each GPU
    bool operator==(const Values&) const = default;
  };
  struct Run {
    std::uint64_t end = 0;
    Values values;
  };
  struct Common;

  void split(std::uint64_t address);
  void apply(Values& values, std::span<const abi::SvmAttribute> attributes) const;
  [[nodiscard]] Common common(std::uint64_t address, std::uint64_t size, bool xnack) const;
  [[nodiscard]] std::uint64_t all_gpus() const noexcept;

  int gpus_;
  std::map<std::uint64_t, Run> runs_;  // by their first byte; they do not meet
};

}  // namespace sluice::kfd
