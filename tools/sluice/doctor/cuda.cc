// Asks the driver and libsluice-cuda.so, and opens a space on all GPUs, as the first managed
// allocation of a program would. What it does not do: start a program.
#include "doctor/cuda.hpp"

#include <dlfcn.h>
#include <fmt/core.h>

#include "beside.hpp"
#include "cuda_front.hpp"
#include "device/cuda/cuda_device.hpp"
#include "sluice/sluice.hpp"
#include "text.hpp"

namespace sluice::tool {
namespace {

void* opened(const std::filesystem::path& library) {
  void* const found = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  if (found == nullptr) throw CannotRun(fmt::format("cannot load {}", ::dlerror()));
  return found;
}

std::vector<std::string> wrapped_entries(void* face) {
  using List = std::size_t(const char**, std::size_t);
  auto* const list = reinterpret_cast<List*>(::dlsym(face, "sluice_cuda_wrapped"));
  if (list == nullptr) throw CannotRun("libsluice-cuda.so is of another Sluice");
  std::vector<const char*> names(list(nullptr, 0));
  list(names.data(), names.size());
  return {names.begin(), names.end()};
}

void try_space(std::size_t gpus, CudaExamination& examination) {
  SpaceOptions options;
  options.software.count = 0;
  for (std::size_t gpu = 0; gpu < gpus; ++gpu) options.cuda.gpus.push_back(static_cast<int>(gpu));
  const auto space = Space::open(options);
  if (!space) {
    examination.reason = space.error().detail();
    return;
  }
  examination.grade = to_string(space->status().grade);
  examination.reason = space->status().grade_reason;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

}  // namespace

CudaExamination examine_cuda() {
  CudaExamination examination;
  const std::filesystem::path path = find_cuda_driver();
  examination.driver = path.string();
  void* const driver = opened(path);
  auto* const version = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDriverGetVersion"));
  if (version != nullptr) (void)version(&examination.version);
  examination.wrapped = wrapped_entries(opened(library_beside("sluice-cuda")));
  for (const std::string& name : examination.wrapped)
    if (::dlsym(driver, name.c_str()) == nullptr) examination.lacking.push_back(name);
  const auto gpus = device::cuda::gpus();
  if (!gpus) {
    examination.reason = gpus.error().detail();
    return examination;
  }
  for (const device::cuda::Gpu& gpu : *gpus) examination.gpus.push_back(gpu.name);
  try_space(gpus->size(), examination);
  return examination;
}

Json json_of(const CudaExamination& examination) {
  return {{"works", examination.works()},   {"driver", examination.driver},
          {"version", examination.version}, {"gpus", examination.gpus},
          {"wrapped", examination.wrapped}, {"lacking", examination.lacking},
          {"grade", examination.grade},     {"reason", examination.reason}};
}

void print(const CudaExamination& examination) {
  const auto line = [](const char* name, const std::string& value) {
    fmt::print("{}", entry(name, value, 25));
  };
  fmt::print("CUDA programs\n");
  line("driver", fmt::format("{}, for CUDA {}.{}", examination.driver, examination.version / 1000,
                             examination.version % 1000 / 10));
  line("GPUs", joined(examination.gpus));
  line("functions before it", fmt::format("{}; this driver has not: {}", examination.wrapped.size(),
                                          joined(examination.lacking)));
  line("managed memory",
       examination.works()
           ? fmt::format("Sluice's, on all GPUs, grade {}{}", examination.grade,
                         examination.reason.empty() ? "" : ": " + examination.reason)
           : "none: " + examination.reason);
  line("left to the driver",
       "__managed__ variables, managed pools, managed nodes of graphs; everything, with "
       "SLUICE_CUDA_MANAGED=driver");
  fmt::print("\ndoctor: sluice run --cuda {} here\n",
             examination.works() ? "works" : "does not work");
}

}  // namespace sluice::tool
