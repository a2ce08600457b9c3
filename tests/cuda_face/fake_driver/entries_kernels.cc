// Modules, functions and launches.
//
// Any file or image of code is a module with all of the stand-in's kernels. As on the card, a
// function that was not loaded is loaded at its first launch, behind whatever runs then.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <set>

#include "cuda_face/fake_driver/entries.hpp"
#include "cuda_face/fake_driver/kernels.hpp"

namespace sluice::fake_cuda {
namespace {

constexpr std::uint32_t fat_binary = 0xba55ed50;
constexpr std::uint32_t elf = 0x464c457f;

struct Function {
  const Kernel* kernel;
  std::atomic<bool> is_loaded{false};
};

struct Module {
  std::deque<Function> functions;
};

struct Modules {
  std::mutex mutex;
  std::set<Module*> live;
};

Modules& modules() {
  static Modules& all = *new Modules;
  return all;
}

bool is_code(const void* image) {
  std::uint32_t first = 0;
  std::memcpy(&first, image, sizeof first);
  return first == fat_binary || first == elf || std::memcmp(image, "//", 2) == 0 ||
         std::memcmp(image, ".ver", 4) == 0;
}

CUmodule make_module() {
  auto* const made = new Module;
  for (const Kernel& kernel : all_kernels()) made->functions.emplace_back().kernel = &kernel;
  Modules& all = modules();
  const std::lock_guard lock(all.mutex);
  all.live.insert(made);
  return reinterpret_cast<CUmodule>(made);
}

Module* find(CUmodule handle) {
  Modules& all = modules();
  const std::lock_guard lock(all.mutex);
  auto* const module = reinterpret_cast<Module*>(handle);
  return all.live.contains(module) ? module : nullptr;
}

Function* function_of(CUfunction handle) { return reinterpret_cast<Function*>(handle); }

// `extra` is a list of keys and values: 1 the block of parameters, 2 the size of it, 0 the end.
bool take_parameters(const Kernel& kernel, void** given, void** extra, Parameters* taken) {
  const Parameter last = kernel.parameters.empty() ? Parameter{0, 0} : kernel.parameters.back();
  taken->bytes.resize(last.offset + last.size);
  if (given != nullptr) {
    for (std::size_t i = 0; i < kernel.parameters.size(); ++i)
      std::memcpy(taken->bytes.data() + kernel.parameters[i].offset, given[i],
                  kernel.parameters[i].size);
    return true;
  }
  const void* block = nullptr;
  std::size_t size = 0;
  for (; extra != nullptr && *extra != nullptr; extra += 2) {
    const auto key = reinterpret_cast<std::uintptr_t>(extra[0]);
    if (key == 1) block = extra[1];
    if (key == 2) size = *static_cast<const std::size_t*>(extra[1]);
  }
  if (size < taken->bytes.size()) return false;
  if (block != nullptr) std::memcpy(taken->bytes.data(), block, taken->bytes.size());
  return true;
}

struct Shape {
  unsigned grid[3];
  unsigned block[3];
};
// CUlaunchConfig, as far as it is read here.
struct Configuration {
  Shape shape;
  unsigned shared;
  CUstream stream;
};
// CU_STREAM_PER_THREAD.
CUstream const per_thread = reinterpret_cast<CUstream>(2);  // NOLINT(performance-no-int-to-ptr)

CUresult launch(CUfunction handle, const Shape& shape, CUstream stream_handle, void** parameters,
                void** extra) {
  Context& context = here();
  const std::shared_ptr<Stream> stream = context.find(stream_handle);
  if (stream == nullptr || handle == nullptr) return error_invalid_handle;
  for (const unsigned* lengths : {shape.grid, shape.block})
    if (lengths[0] * lengths[1] * lengths[2] == 0) return error_invalid_value;
  Function& function = *function_of(handle);
  Parameters taken;
  if (!take_parameters(*function.kernel, parameters, extra, &taken)) return error_invalid_value;
  if (!function.is_loaded.exchange(true)) context.wait_until_idle();
  context.submit(stream, [kernel = function.kernel, taken = std::move(taken)](GpuView& gpu) {
    Context::name_work(kernel->name.data());
    kernel->run(gpu, taken);
  });
  return success;
}

}  // namespace

FAKE_ENTRY(cuModuleLoad, (CUmodule * module, const char* path)) {
  FAKE_ENTER_CONTEXT();
  char begin[4] = "";
  std::FILE* const file = std::fopen(path, "rbe");
  if (file == nullptr) return error_file_not_found;
  const std::size_t got = std::fread(begin, 1, sizeof begin, file);
  (void)std::fclose(file);
  if (got != sizeof begin || !is_code(begin)) return error_invalid_image;
  *module = make_module();
  return success;
}

FAKE_ENTRY(cuModuleLoadData, (CUmodule * module, const void* image)) {
  FAKE_ENTER_CONTEXT();
  if (!is_code(image)) return error_invalid_image;
  *module = make_module();
  return success;
}

FAKE_ENTRY(cuModuleUnload, (CUmodule handle)) {
  FAKE_ENTER_CONTEXT();
  Module* const module = find(handle);
  if (module == nullptr) return error_invalid_handle;
  here().wait_until_idle();
  Modules& all = modules();
  const std::lock_guard lock(all.mutex);
  all.live.erase(module);
  delete module;
  return success;
}

FAKE_ENTRY(cuModuleGetFunctionCount, (unsigned* count, CUmodule handle)) {
  FAKE_ENTER_CONTEXT();
  const Module* const module = find(handle);
  if (module == nullptr) return error_invalid_handle;
  *count = static_cast<unsigned>(module->functions.size());
  return success;
}

FAKE_ENTRY(cuModuleEnumerateFunctions, (CUfunction * functions, unsigned count, CUmodule handle)) {
  FAKE_ENTER_CONTEXT();
  Module* const module = find(handle);
  if (module == nullptr) return error_invalid_handle;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, module->functions.size()); ++i)
    functions[i] = reinterpret_cast<CUfunction>(&module->functions[i]);
  return success;
}

FAKE_ENTRY(cuModuleGetFunction, (CUfunction * function, CUmodule handle, const char* name)) {
  FAKE_ENTER_CONTEXT();
  Module* const module = find(handle);
  if (module == nullptr) return error_invalid_handle;
  for (Function& each : module->functions) {
    if (each.kernel->name != name) continue;
    *function = reinterpret_cast<CUfunction>(&each);
    return success;
  }
  return error_not_found;
}

FAKE_ENTRY(cuFuncLoad, (CUfunction function)) {
  FAKE_ENTER_CONTEXT();
  function_of(function)->is_loaded = true;
  return success;
}

FAKE_ENTRY(cuFuncGetParamInfo,
           (CUfunction handle, std::size_t index, std::size_t* offset, std::size_t* size)) {
  FAKE_ENTER_CONTEXT();
  const std::vector<Parameter>& parameters = function_of(handle)->kernel->parameters;
  if (index >= parameters.size()) return error_invalid_value;
  *offset = parameters[index].offset;
  if (size != nullptr) *size = parameters[index].size;
  return success;
}

FAKE_ENTRY(cuLaunchKernel,
           (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
            unsigned block_x, unsigned block_y, unsigned block_z, unsigned /*shared*/,
            CUstream stream, void** parameters, void** extra)) {
  FAKE_ENTER_CONTEXT();
  const Shape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}};
  return launch(function, shape, stream, parameters, extra);
}

FAKE_ENTRY(cuLaunchKernel_ptsz,
           (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
            unsigned block_x, unsigned block_y, unsigned block_z, unsigned /*shared*/,
            CUstream stream, void** parameters, void** extra)) {
  FAKE_ENTER_CONTEXT();
  const Shape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}};
  return launch(function, shape, stream != nullptr ? stream : per_thread, parameters, extra);
}

FAKE_ENTRY(cuLaunchCooperativeKernel,
           (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
            unsigned block_x, unsigned block_y, unsigned block_z, unsigned /*shared*/,
            CUstream stream, void** parameters)) {
  FAKE_ENTER_CONTEXT();
  const Shape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}};
  return launch(function, shape, stream, parameters, nullptr);
}

FAKE_ENTRY(cuLaunchKernelEx, (const Configuration* configuration, CUfunction function,
                              void** parameters, void** extra)) {
  FAKE_ENTER_CONTEXT();
  return launch(function, configuration->shape, configuration->stream, parameters, extra);
}

}  // namespace sluice::fake_cuda
