// The plain ioctls as a program makes them, for the programs of these tests. No Sluice in it.
#pragma once

#include <fcntl.h>
#include <linux/kfd_ioctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace kfd_program {

// Prints where it went wrong and ends the program.
#define EXPECT(condition)                                                           \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::printf("%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (false)

// 0 or an errno.
inline int call(int file, unsigned long request, void* arguments) {
  return ioctl(file, request, arguments) == 0 ? 0 : errno;
}

// /dev/kfd with all GPUs acquired.
class Machine {
 public:
  Machine() : file_(open("/dev/kfd", O_RDWR | O_CLOEXEC)) {
    EXPECT(file_ >= 0);
    kfd_ioctl_get_process_apertures_new_args asked{};
    EXPECT(call(file_, AMDKFD_IOC_GET_PROCESS_APERTURES_NEW, &asked) == 0);
    std::vector<kfd_process_device_apertures> all(asked.num_of_nodes);
    asked.kfd_process_device_apertures_ptr = reinterpret_cast<std::uintptr_t>(all.data());
    EXPECT(call(file_, AMDKFD_IOC_GET_PROCESS_APERTURES_NEW, &asked) == 0);
    for (std::size_t gpu = 0; gpu < all.size(); ++gpu) {
      ids_.push_back(all[gpu].gpu_id);
      const std::string path = "/dev/dri/renderD" + std::to_string(128 + gpu);
      nodes_.push_back(open(path.c_str(), O_RDWR | O_CLOEXEC));
      EXPECT(nodes_.back() >= 0);
      kfd_ioctl_acquire_vm_args acquire{static_cast<std::uint32_t>(nodes_.back()), ids_.back()};
      EXPECT(call(file_, AMDKFD_IOC_ACQUIRE_VM, &acquire) == 0);
    }
  }
  int file() const { return file_; }
  int node(int gpu) const { return nodes_[static_cast<std::size_t>(gpu)]; }
  std::uint32_t* ids() { return ids_.data(); }
  std::uint32_t gpus() const { return static_cast<std::uint32_t>(ids_.size()); }

  kfd_ioctl_alloc_memory_of_gpu_args allocate(std::uint64_t size, std::uint32_t flags) {
    kfd_ioctl_alloc_memory_of_gpu_args asked{};
    asked.va_addr = next_address_;
    asked.size = size;
    asked.gpu_id = ids_[0];
    asked.flags = flags;
    next_address_ += (size + 0x1fffff) & ~0x1fffffULL;
    EXPECT(call(file_, AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked) == 0);
    return asked;
  }
  // Of all GPUs, from the n_success-th on.
  kfd_ioctl_map_memory_to_gpu_args all_gpus(std::uint64_t handle) {
    kfd_ioctl_map_memory_to_gpu_args asked{};
    asked.handle = handle;
    asked.device_ids_array_ptr = reinterpret_cast<std::uintptr_t>(ids_.data());
    asked.n_devices = gpus();
    return asked;
  }
  int release(std::uint64_t handle) {
    kfd_ioctl_free_memory_of_gpu_args asked{handle};
    return call(file_, AMDKFD_IOC_FREE_MEMORY_OF_GPU, &asked);
  }

 private:
  int file_;
  std::vector<int> nodes_;
  std::vector<std::uint32_t> ids_;
  std::uint64_t next_address_ = 0x100000000;
};

}  // namespace kfd_program
