// sluice bench tradeoff: shared allocations against host allocations against explicit copies, on
// every OpenCL device here.
//
// 32 MiB of words, in four patterns; a round of each is
//   host_bound     the host changes every word four times, a kernel the first 16 KiB
//   device_bound   eight kernels change every word, the host reads one
//   sparse         a kernel changes every word, the host reads 64 that lie apart
//   ping_pong      a kernel changes every word, then the host does
// by three means: `shared` (clSharedMemAllocINTEL; SLUICE_SHARED sets its home), `host`
// (clHostMemAllocINTEL), and `copies`: a buffer and plain memory, with just the copies that the
// pattern needs, written by hand. A round ends when the host has the bytes that it reads. The bench
// reports milliseconds for each round; the baseline is `copies`. The first round of each is not
// counted.
//
// Where host and device share memory, shared and host allocations never move, and only `copies`
// copies.

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>

#include "bench/bench.hpp"
#include "opencl_library.hpp"
#include "program/interruption.hpp"
#include "program/text.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t words = std::size_t{8} << 20;
constexpr std::size_t few_words = 4096;
constexpr std::size_t apart = words / 64;

void must(cl_int status, const char* what) {
  if (status != CL_SUCCESS) throw CannotRun(fmt::format("{} answers {}", what, status));
}

// The calls that a bench makes, and a context, a queue and a kernel of one device.
struct World {
  World(const OpenclLibrary& library, const OpenclDevice& device)
      : of(device),
        create_context(library.function<decltype(clCreateContext)>("clCreateContext")),
        create_queue(library.function<decltype(clCreateCommandQueueWithProperties)>(
            "clCreateCommandQueueWithProperties")),
        create_program(
            library.function<decltype(clCreateProgramWithSource)>("clCreateProgramWithSource")),
        build(library.function<decltype(clBuildProgram)>("clBuildProgram")),
        create_kernel(library.function<decltype(clCreateKernel)>("clCreateKernel")),
        create_buffer(library.function<decltype(clCreateBuffer)>("clCreateBuffer")),
        release_buffer(library.function<decltype(clReleaseMemObject)>("clReleaseMemObject")),
        set_argument(library.function<decltype(clSetKernelArg)>("clSetKernelArg")),
        run(library.function<decltype(clEnqueueNDRangeKernel)>("clEnqueueNDRangeKernel")),
        read(library.function<decltype(clEnqueueReadBuffer)>("clEnqueueReadBuffer")),
        write(library.function<decltype(clEnqueueWriteBuffer)>("clEnqueueWriteBuffer")),
        finish(library.function<decltype(clFinish)>("clFinish")),
        address(library.function<decltype(clGetExtensionFunctionAddressForPlatform)>(
            "clGetExtensionFunctionAddressForPlatform")) {
    cl_int status = CL_SUCCESS;
    context = create_context(nullptr, 1, &device.id, nullptr, nullptr, &status);
    must(status, "clCreateContext");
    queue = create_queue(context, device.id, nullptr, &status);
    must(status, "clCreateCommandQueueWithProperties");
    const char* source = "kernel void add_one(global uint* p) { p[get_global_id(0)] += 1; }";
    const cl_program program = create_program(context, 1, &source, nullptr, &status);
    must(status, "clCreateProgramWithSource");
    must(build(program, 1, &device.id, "", nullptr, nullptr), "clBuildProgram");
    kernel = create_kernel(program, "add_one", &status);
    must(status, "clCreateKernel");
  }

  template <typename Function>
  Function extension(const char* name) const {
    return reinterpret_cast<Function>(address(of.platform, name));
  }
  void launch(std::size_t items) const {
    must(run(queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr),
         "clEnqueueNDRangeKernel");
  }

  const OpenclDevice& of;
  decltype(clCreateContext)* create_context;
  decltype(clCreateCommandQueueWithProperties)* create_queue;
  decltype(clCreateProgramWithSource)* create_program;
  decltype(clBuildProgram)* build;
  decltype(clCreateKernel)* create_kernel;
  decltype(clCreateBuffer)* create_buffer;
  decltype(clReleaseMemObject)* release_buffer;
  decltype(clSetKernelArg)* set_argument;
  decltype(clEnqueueNDRangeKernel)* run;
  decltype(clEnqueueReadBuffer)* read;
  decltype(clEnqueueWriteBuffer)* write;
  decltype(clFinish)* finish;
  decltype(clGetExtensionFunctionAddressForPlatform)* address;
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;
  cl_kernel kernel = nullptr;
};

// The means by which a program gets its words to a kernel and back.
class Means {
 public:
  virtual ~Means() = default;
  std::uint32_t* data = nullptr;
  // Before a kernel that needs the host's changes to the first `count` words.
  virtual void to_device(std::size_t /*count*/) {}
  // Before the host touches words; the kernels have ended then.
  virtual void to_host(std::size_t first, std::size_t count) = 0;
};

class Allocation final : public Means {
 public:
  Allocation(const World& world, bool shared) : world_(world) {
    cl_int status = CL_SUCCESS;
    void* const pointer = shared
                              ? world.extension<clSharedMemAllocINTEL_fn>("clSharedMemAllocINTEL")(
                                    world.context, world.of.id, nullptr, words * 4, 0, &status)
                              : world.extension<clHostMemAllocINTEL_fn>("clHostMemAllocINTEL")(
                                    world.context, nullptr, words * 4, 0, &status);
    must(status, "an allocation");
    data = static_cast<std::uint32_t*>(pointer);
    must(world.extension<clSetKernelArgMemPointerINTEL_fn>("clSetKernelArgMemPointerINTEL")(
             world.kernel, 0, pointer),
         "clSetKernelArgMemPointerINTEL");
    std::fill_n(data, words, 0U);
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;
  ~Allocation() override {
    (void)world_.extension<clMemFreeINTEL_fn>("clMemFreeINTEL")(world_.context, data);
  }
  void to_host(std::size_t /*first*/, std::size_t /*count*/) override {
    world_.finish(world_.queue);
  }

 private:
  const World& world_;
};

class Copies final : public Means {
 public:
  explicit Copies(const World& world) : world_(world), plain_(words) {
    cl_int status = CL_SUCCESS;
    buffer_ = world.create_buffer(world.context, CL_MEM_READ_WRITE, words * 4, nullptr, &status);
    must(status, "clCreateBuffer");
    must(world.set_argument(world.kernel, 0, sizeof(buffer_), &buffer_), "clSetKernelArg");
    data = plain_.data();
    Copies::to_device(words);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
  ~Copies() override { world_.release_buffer(buffer_); }
  void to_device(std::size_t count) override {
    must(world_.write(world_.queue, buffer_, CL_TRUE, 0, count * 4, data, 0, nullptr, nullptr),
         "clEnqueueWriteBuffer");
  }
  void to_host(std::size_t first, std::size_t count) override {
    must(world_.read(world_.queue, buffer_, CL_TRUE, first * 4, count * 4, data + first, 0, nullptr,
                     nullptr),
         "clEnqueueReadBuffer");
  }

 private:
  const World& world_;
  std::vector<std::uint32_t> plain_;
  cl_mem buffer_ = nullptr;
};

volatile std::uint32_t seen;  // so that reading is not optimised away

void change_all(std::uint32_t* data) {
  for (std::size_t i = 0; i < words; ++i) data[i] += 1;
}

void host_bound(const World& world, Means& means) {
  for (int pass = 0; pass < 4; ++pass) change_all(means.data);
  means.to_device(few_words);
  world.launch(few_words);
  means.to_host(0, few_words);
  seen = means.data[0];
}

void device_bound(const World& world, Means& means) {
  for (int pass = 0; pass < 8; ++pass) world.launch(words);
  means.to_host(0, 1);
  seen = means.data[0];
}

void sparse(const World& world, Means& means) {
  world.launch(words);
  for (std::size_t at = 0; at < words; at += apart) {
    means.to_host(at, 1);
    seen = means.data[at];
  }
}

void ping_pong(const World& world, Means& means) {
  means.to_device(words);
  world.launch(words);
  means.to_host(0, words);
  change_all(means.data);
}

struct Pattern {
  const char* name;
  void (*round)(const World&, Means&);
};
constexpr Pattern patterns[] = {{"host_bound", host_bound},
                                {"device_bound", device_bound},
                                {"sparse", sparse},
                                {"ping_pong", ping_pong}};

double milliseconds(const World& world, const Pattern& pattern, Means& means, int rounds) {
  std::vector<double> samples;
  for (int round = 0; round <= rounds; ++round) {
    const Stopwatch watch;
    pattern.round(world, means);
    if (round != 0) samples.push_back(watch.microseconds() / 1000);
  }
  return median(std::move(samples));
}

std::string short_name(const OpenclDevice& device) {
  const std::string& full = device.name;
  return full.substr(0, std::min<std::size_t>(full.find_first_of(" ("), 12));
}

}  // namespace

std::vector<Case> measure_tradeoff(const Options& options) {
  // The layer reads its environment when it is loaded.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  ::setenv("SLUICE_GRADE", std::string(to_string(options.best_grade)).c_str(), 1);
  const OpenclLibrary library;
  std::vector<Case> cases;
  for (const OpenclDevice& device : library.devices()) {
    const World world(library, device);
    program::complain("{} ({}): {}\n", device.name, device.platform_name, device.choice);
    for (const Pattern& pattern : patterns) {
      if (program::interruption() != 0) return cases;
      const auto measure = [&](std::unique_ptr<Means> means) {
        return milliseconds(world, pattern, *means, options.rounds);
      };
      const double copies = measure(std::make_unique<Copies>(world));
      const double host = measure(std::make_unique<Allocation>(world, false));
      const double shared = measure(std::make_unique<Allocation>(world, true));
      const std::string name = short_name(device) + " " + pattern.name + " ";
      cases.push_back({name + "shared", shared, "ms", copies, {}});
      cases.push_back({name + "host", host, "ms", copies, {}});
    }
  }
  return cases;
}

}  // namespace sluice::tool::bench
