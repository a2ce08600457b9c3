// How fast shared memory moves, beside what the driver can do at best. GB/s (10^9 bytes), medians
// of five, 256 MiB unless told.
//
//   bandwidth [MIB]
//
// The driver's own copies are made from pinned memory (a mapped buffer with CL_MEM_ALLOC_HOST_PTR),
// from plain memory, and from a memory file through a buffer with CL_MEM_USE_HOST_PTR. Then
// migration to the device and to the host, reading back by plain loads (all words, and one a page),
// and what a launch costs that names shared memory with nothing to move.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void add_one(global uint* p) { p[get_global_id(0)] += 1; }
kernel void touch_one(global uint* p) { if (get_global_id(0) == 0) p[0] += 1; }
)";

std::size_t bytes = std::size_t{256} << 20;
double pinned_best = 0;
volatile std::uint64_t seen;

double seconds(const std::function<void()>& before, const std::function<void()>& timed) {
  std::vector<double> samples;
  for (int round = 0; round < 6; ++round) {
    before();
    const auto began = std::chrono::steady_clock::now();
    timed();
    const double took =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (round != 0) samples.push_back(took);
  }
  std::nth_element(samples.begin(), samples.begin() + 2, samples.end());
  return samples[2];
}

double row(const char* name, double took) {
  const double rate = static_cast<double>(bytes) * 1e-9 / took;
  if (pinned_best != 0)
    std::printf("%-44s %8.2f GB/s   %.2f of pinned\n", name, rate, rate / pinned_best);
  else
    std::printf("%-44s %8.2f GB/s\n", name, rate);
  return rate;
}

void nothing() {}

cl_mem buffer(const usm::World& world, cl_mem_flags flags, void* host) {
  cl_int status = CL_SUCCESS;
  const cl_mem made = clCreateBuffer(world.context, flags, bytes, host, &status);
  MUST(status);
  return made;
}

void driver_copies(const usm::World& world) {
  const cl_mem device = buffer(world, CL_MEM_READ_WRITE, nullptr);
  const cl_mem pinned = buffer(world, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, nullptr);
  cl_int status = CL_SUCCESS;
  void* const host = clEnqueueMapBuffer(world.queue, pinned, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                        bytes, 0, nullptr, nullptr, &status);
  MUST(status);
  std::memset(host, 1, bytes);
  const auto write = [&](void* from) {
    MUST(clEnqueueWriteBuffer(world.queue, device, CL_FALSE, 0, bytes, from, 0, nullptr, nullptr));
    MUST(clFinish(world.queue));
  };
  const auto read = [&](void* to) {
    MUST(clEnqueueReadBuffer(world.queue, device, CL_FALSE, 0, bytes, to, 0, nullptr, nullptr));
    MUST(clFinish(world.queue));
  };
  const double up = row("driver: pinned to device", seconds(nothing, [&] { write(host); }));
  const double down = row("driver: device to pinned", seconds(nothing, [&] { read(host); }));
  pinned_best = std::max(up, down);
  std::vector<char> plain(bytes, 1);
  row("driver: plain to device", seconds(nothing, [&] { write(plain.data()); }));
  row("driver: device to plain", seconds(nothing, [&] { read(plain.data()); }));

  const int file = memfd_create("bandwidth", 0);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return;
  void* const view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  std::memset(view, 1, bytes);
  row("driver: memory file to device", seconds(nothing, [&] { write(view); }));
  row("driver: device to memory file", seconds(nothing, [&] { read(view); }));
  const cl_mem wrapped = buffer(world, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, view);
  const auto copy = [&](cl_mem from, cl_mem to) {
    MUST(clEnqueueCopyBuffer(world.queue, from, to, 0, 0, bytes, 0, nullptr, nullptr));
    MUST(clFinish(world.queue));
  };
  row("driver: wrapped memory file to device", seconds(nothing, [&] { copy(wrapped, device); }));
  row("driver: device to wrapped memory file", seconds(nothing, [&] { copy(device, wrapped); }));
  for (cl_mem one : {wrapped, pinned, device}) clReleaseMemObject(one);
  munmap(view, bytes);
  close(file);
}

class Shared {
 public:
  explicit Shared(const usm::World& world)
      : world_(world),
        add_(world.kernel(source, "add_one")),
        touch_(world.kernel(source, "touch_one")),
        data_(world.shared<std::uint32_t>(bytes / 4)) {
    std::fill_n(data_, bytes / 4, 0U);
    MUST(world.set_pointer(add_, 0, data_));
    MUST(world.set_pointer(touch_, 0, data_));
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    MUST(world_.free(world_.context, data_));
    clReleaseKernel(add_);
    clReleaseKernel(touch_);
  }

  void measure() {
    row("shared: migrated to the device", seconds([&] { to_host(); }, [&] { migrate(0); }));
    row("shared: migrated to the host",
        seconds([&] { to_device(); }, [&] { migrate(CL_MIGRATE_MEM_OBJECT_HOST); }));
    row("shared: launch that brings it all", seconds([&] { to_host(); }, [&] { to_device(); }));
    row("shared: read back, all words", seconds([&] { to_device(); }, [&] { read(1); }));
    row("shared: read back, a word a page", seconds([&] { to_device(); }, [&] { read(1024); }));
    to_device();
    const double launch = seconds(nothing, [&] {
      for (int i = 0; i < 100; ++i) world_.run(touch_, 64);
    });
    MUST(clFinish(world_.queue));
    std::printf("%-44s %8.2f us\n", "shared: a launch with nothing to move", launch * 1e4);
  }

 private:
  void migrate(cl_mem_migration_flags to) {
    cl_event moved = nullptr;
    MUST(world_.migrate(world_.queue, data_, bytes, to, 0, nullptr, &moved));
    MUST(clWaitForEvents(1, &moved));
    MUST(clReleaseEvent(moved));
  }
  void to_device() {
    world_.run(add_, bytes / 4);
    MUST(clFinish(world_.queue));
  }
  void to_host() {
    for (std::size_t i = 0; i < bytes / 4; i += 1024) data_[i] += 1;
  }
  void read(std::size_t step) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bytes / 4; i += step) sum += data_[i];
    seen = sum;
  }

  const usm::World& world_;
  cl_kernel add_;
  cl_kernel touch_;
  std::uint32_t* data_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) bytes = static_cast<std::size_t>(std::atoi(argv[1])) << 20;
  const usm::World world;
  char name[256] = {};
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_NAME, sizeof(name) - 1, name, nullptr));
  std::printf("%s, %zu MiB\n", name, bytes >> 20);
  driver_copies(world);
  Shared(world).measure();
  return 0;
}
