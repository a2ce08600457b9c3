// SvmTypes: the types of SVM that a platform has for cl_khr_unified_svm, and their capabilities on
// each device.
//
// A capability is listed where the back end serves it, and nowhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "choice.hpp"
#include "unified_svm.hpp"

namespace sluice::opencl {

// In the order of the list that programs get. A program that takes the first type with the
// capabilities it needs gets the plainest one.
enum class SvmType : std::uint8_t { coarse_buffer, device, shared, fine_buffer, host, system };

// The SVM of a device in a back end.
struct SvmFeatures {
  Backend backend = Backend::buffers;
  cl_device_svm_capabilities reported = 0;  // by the driver

  // The reported features that the back end also supports.
  [[nodiscard]] cl_device_svm_capabilities served() const noexcept;
  // CL_DEVICE_SVM_CONCURRENT_ACCESS_ATOM_SIZE_KHR.
  [[nodiscard]] std::size_t atom_size() const noexcept { return backend == Backend::pass ? 1 : 0; }
};

// 0: the device does not serve this type.
[[nodiscard]] unified_svm::Capabilities capabilities(SvmType type,
                                                     const SvmFeatures& device) noexcept;
// The capabilities that all of these devices have that serve the type; 0: none of them does.
[[nodiscard]] unified_svm::Capabilities common_capabilities(
    SvmType type, std::span<const SvmFeatures> devices) noexcept;

// By index, as clSVMAllocWithPropertiesKHR takes it.
class SvmTypes {
 public:
  // Of a platform with these devices: the types that at least one of them serves.
  explicit SvmTypes(std::span<const SvmFeatures> devices);

  [[nodiscard]] std::vector<unified_svm::Capabilities> of_platform() const;
  // Each is 0, or includes the platform's.
  [[nodiscard]] std::vector<unified_svm::Capabilities> of_device(const SvmFeatures& device) const;
  [[nodiscard]] std::optional<SvmType> at(cl_uint index) const noexcept;
  // CL_UINT_MAX: the platform has no such type.
  [[nodiscard]] cl_uint index_of(SvmType type) const noexcept;
  // The type that all of these devices serve with all required and with the most of the desired
  // capabilities; the first of several. CL_UINT_MAX: there is none.
  [[nodiscard]] cl_uint suggest(unified_svm::Capabilities required,
                                unified_svm::Capabilities desired,
                                std::span<const SvmFeatures> devices) const noexcept;

 private:
  struct Entry {
    SvmType type;
    unified_svm::Capabilities common;
  };
  std::vector<Entry> entries_;
};

}  // namespace sluice::opencl
