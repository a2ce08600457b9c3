// What the Level Zero programs of this area share: the first GPU, a queue that waits for each
// launch, and the kernel of add.cl.
//
// They are programs like any user's: they know Level Zero and nothing of Sluice. A failed call ends
// the program with its place. ADD_SPV is the path of add.cl as SPIR-V.
#pragma once

#include <level_zero/ze_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace level_zero {

inline void must(ze_result_t status, const char* call, int line) {
  if (status == ZE_RESULT_SUCCESS) return;
  std::fprintf(stderr, "line %d: %s: 0x%x\n", line, call, static_cast<unsigned>(status));
  std::exit(3);
}
#define ZE_MUST(call) ::level_zero::must((call), #call, __LINE__)

class World {
 public:
  World() {
    ZE_MUST(zeInit(ZE_INIT_FLAG_GPU_ONLY));
    std::uint32_t count = 1;
    ze_driver_handle_t driver = nullptr;
    ZE_MUST(zeDriverGet(&count, &driver));
    ZE_MUST(zeDeviceGet(driver, &count, &device_));
    const ze_context_desc_t context = {ZE_STRUCTURE_TYPE_CONTEXT_DESC, nullptr, 0};
    ZE_MUST(zeContextCreate(driver, &context, &context_));
    ze_command_queue_desc_t queue = {};
    queue.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC;
    queue.mode = ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS;
    ZE_MUST(zeCommandListCreateImmediate(context_, device_, &queue, &list_));
    load_kernel();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    zeKernelDestroy(kernel_);
    zeModuleDestroy(module_);
    zeCommandListDestroy(list_);
    zeContextDestroy(context_);
  }

  [[nodiscard]] void* shared(std::size_t size) const {
    ze_device_mem_alloc_desc_t on_device = {};
    on_device.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC;
    ze_host_mem_alloc_desc_t on_host = {};
    on_host.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC;
    void* pointer = nullptr;
    ZE_MUST(zeMemAllocShared(context_, &on_device, &on_host, size, 0, device_, &pointer));
    return pointer;
  }
  void free(void* pointer) const { ZE_MUST(zeMemFree(context_, pointer)); }

  // Adds `value` to each of `count` ints, and waits.
  void add(int* data, std::uint32_t count, int value) const {
    ZE_MUST(zeKernelSetGroupSize(kernel_, 1, 1, 1));
    ZE_MUST(zeKernelSetArgumentValue(kernel_, 0, sizeof data, static_cast<const void*>(&data)));
    ZE_MUST(zeKernelSetArgumentValue(kernel_, 1, sizeof value, &value));
    const ze_group_count_t groups = {count, 1, 1};
    ZE_MUST(zeCommandListAppendLaunchKernel(list_, kernel_, &groups, nullptr, 0, nullptr));
  }

  [[nodiscard]] const char* name() {
    properties_.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
    ZE_MUST(zeDeviceGetProperties(device_, &properties_));
    return properties_.name;
  }

 private:
  void load_kernel() {
    std::ifstream file(ADD_SPV, std::ios::binary);
    const std::vector<char> code((std::istreambuf_iterator<char>(file)), {});
    ze_module_desc_t module = {};
    module.stype = ZE_STRUCTURE_TYPE_MODULE_DESC;
    module.format = ZE_MODULE_FORMAT_IL_SPIRV;
    module.inputSize = code.size();
    module.pInputModule = reinterpret_cast<const std::uint8_t*>(code.data());
    ZE_MUST(zeModuleCreate(context_, device_, &module, &module_, nullptr));
    ze_kernel_desc_t kernel = {};
    kernel.stype = ZE_STRUCTURE_TYPE_KERNEL_DESC;
    kernel.pKernelName = "add";
    ZE_MUST(zeKernelCreate(module_, &kernel, &kernel_));
  }

  ze_device_handle_t device_ = nullptr;
  ze_context_handle_t context_ = nullptr;
  ze_command_list_handle_t list_ = nullptr;
  ze_module_handle_t module_ = nullptr;
  ze_kernel_handle_t kernel_ = nullptr;
  ze_device_properties_t properties_ = {};
};

}  // namespace level_zero
