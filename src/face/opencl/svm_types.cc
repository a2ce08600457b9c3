// The one table of capabilities, and the lists of platforms and devices that follow from it.
//
// Where kernels get buffers instead of pointers there is no single address space, and nothing can
// be reached indirectly. Where pages move, the host needs no map, and nothing is used by host and
// device at the same time. Cites: the extension's "Set of SVM Capabilities for Common SVM Types".
#include "svm_types.hpp"

#include <bit>

namespace sluice::opencl {

using unified_svm::Capabilities;

namespace {

constexpr SvmType every_type[] = {SvmType::coarse_buffer, SvmType::device, SvmType::shared,
                                  SvmType::fine_buffer,   SvmType::host,   SvmType::system};

// True if a kernel's pointer into such memory is the program's, also in memory.
bool pointers_work(SvmType type, Backend backend) noexcept {
  switch (backend) {
    case Backend::pass:
    case Backend::svm:
      return true;
    case Backend::addresses:
      return type == SvmType::device;
    case Backend::buffers:
      return false;
  }
  return false;
}

}  // namespace

cl_device_svm_capabilities SvmFeatures::served() const noexcept {
  switch (backend) {
    case Backend::pass:
      return reported;
    case Backend::svm:
      return reported & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
    case Backend::addresses:
    case Backend::buffers:
      return 0;
  }
  return 0;
}

Capabilities capabilities(SvmType type, const SvmFeatures& device) noexcept {
  using namespace unified_svm;  // NOLINT(google-build-using-namespace): names of bits
  const cl_device_svm_capabilities svm = device.served();
  Capabilities kernels = device_read | device_write | device_atomic_access;
  if (pointers_work(type, device.backend)) kernels |= single_address_space | indirect_access;
  Capabilities host = host_read | host_write | host_map;
  if (device.backend == Backend::pass) host |= concurrent_access;
  if ((svm & CL_DEVICE_SVM_ATOMICS) != 0) host |= concurrent_atomic_access;
  constexpr Capabilities anywhere = device_unassociated | context_access;
  switch (type) {
    case SvmType::coarse_buffer:
      return kernels | host_map | anywhere;
    case SvmType::device:
      return kernels | device_owned;
    case SvmType::shared:
      return kernels | host;
    case SvmType::host:
      return kernels | host | anywhere | host_owned;
    case SvmType::fine_buffer:
      return (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0 ? kernels | host | anywhere : 0;
    case SvmType::system:
      return (svm & CL_DEVICE_SVM_FINE_GRAIN_SYSTEM) != 0
                 ? kernels | host | anywhere | system_allocated
                 : 0;
  }
  return 0;
}

Capabilities common_capabilities(SvmType type, std::span<const SvmFeatures> devices) noexcept {
  Capabilities common = 0;
  for (const SvmFeatures& device : devices) {
    const Capabilities own = capabilities(type, device);
    if (own != 0) common = common == 0 ? own : common & own;
  }
  return common;
}

SvmTypes::SvmTypes(std::span<const SvmFeatures> devices) {
  for (const SvmType type : every_type)
    if (const Capabilities common = common_capabilities(type, devices); common != 0)
      entries_.push_back({type, common});
}

std::vector<Capabilities> SvmTypes::of_platform() const {
  std::vector<Capabilities> found;
  for (const Entry& entry : entries_) found.push_back(entry.common);
  return found;
}

std::vector<Capabilities> SvmTypes::of_device(const SvmFeatures& device) const {
  std::vector<Capabilities> found;
  for (const Entry& entry : entries_) {
    const Capabilities own = capabilities(entry.type, device);
    // A part of a device is not in the platform's list, and might serve less.
    found.push_back((own & entry.common) == entry.common ? own : 0);
  }
  return found;
}

std::optional<SvmType> SvmTypes::at(cl_uint index) const noexcept {
  if (index >= entries_.size()) return std::nullopt;
  return entries_[index].type;
}

cl_uint SvmTypes::index_of(SvmType type) const noexcept {
  for (cl_uint index = 0; index < entries_.size(); ++index)
    if (entries_[index].type == type) return index;
  return CL_UINT_MAX;
}

cl_uint SvmTypes::suggest(Capabilities required, Capabilities desired,
                          std::span<const SvmFeatures> devices) const noexcept {
  cl_uint best = CL_UINT_MAX;
  int most = -1;
  for (cl_uint index = 0; index < entries_.size(); ++index) {
    Capabilities of_all = ~Capabilities{0};
    for (const SvmFeatures& device : devices) of_all &= capabilities(entries_[index].type, device);
    const int has = std::popcount(of_all & desired);
    if (of_all == 0 || (of_all & required) != required || has <= most) continue;
    best = index;
    most = has;
  }
  return best;
}

}  // namespace sluice::opencl
