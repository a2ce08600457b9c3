// Contexts of several devices, and of parts of a device: one allocation goes from the host to each
// device and back, with nothing but clFinish where host and device share memory.
//
//   many_devices DEVICES   so many at least in one context, and each of them alone
//   many_devices parts     parts of the first device
//   many_devices any_byte  the last device alone, whose pointers may point to any byte
//   many_devices options   a program that is built for each device with options of its own, and
//                          must be refused where pointers in memory mean nothing
//
// Ends with 0 and "many devices: PASS", or with 77 and the reason why it cannot tell.
#include <string>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void add(global int* at, int what) { at[get_global_id(0)] += what; }
)";
constexpr int count = 3000;

int failures = 0;
void expect(bool truth, const std::string& what) {
  if (truth) return;
  if (failures++ < 10) std::fprintf(stderr, "%s\n", what.c_str());
}

std::vector<cl_device_id> devices_of(cl_platform_id platform) {
  cl_uint number = 0;
  MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_GPU, 0, nullptr, &number));
  std::vector<cl_device_id> devices(number);
  MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_GPU, number, devices.data(), nullptr));
  return devices;
}

// None where the device cannot be parted.
std::vector<cl_device_id> parts_of(cl_device_id device) {
  cl_uint most = 0;
  if (clGetDeviceInfo(device, CL_DEVICE_PARTITION_MAX_SUB_DEVICES, sizeof(most), &most, nullptr) !=
          CL_SUCCESS ||
      most < 2)
    return {};
  const cl_device_partition_property equally[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 0};
  cl_uint number = 0;
  if (clCreateSubDevices(device, equally, 0, nullptr, &number) != CL_SUCCESS) return {};
  std::vector<cl_device_id> parts(number);
  MUST(clCreateSubDevices(device, equally, number, parts.data(), nullptr));
  return parts;
}

class Several {
 public:
  Several(const usm::World& world, std::vector<cl_device_id> devices, std::string name)
      : world_(world), devices_(std::move(devices)), name_(std::move(name)) {
    cl_int status = CL_SUCCESS;
    const auto number = static_cast<cl_uint>(devices_.size());
    context_ = clCreateContext(nullptr, number, devices_.data(), nullptr, nullptr, &status);
    MUST(status);
    const char* text = source;
    program_ = clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
    MUST(status);
    MUST(clBuildProgram(program_, number, devices_.data(), "", nullptr, nullptr));
    for (cl_device_id device : devices_) {
      queues_.push_back(clCreateCommandQueueWithProperties(context_, device, nullptr, &status));
      MUST(status);
    }
    kernel_ = clCreateKernel(program_, "add", &status);
    MUST(status);
  }
  ~Several() {
    clReleaseKernel(kernel_);
    for (cl_command_queue queue : queues_) clReleaseCommandQueue(queue);
    clReleaseProgram(program_);
    clReleaseContext(context_);
  }

  // Host and devices in turn, several rounds.
  void pass_around(int* at, const char* kind) const {
    for (int i = 0; i < count; ++i) at[i] = i;
    int added = 0;
    for (int round = 0; round < 3; ++round) {
      for (std::size_t d = 0; d < queues_.size(); ++d) {
        const int what = 10 * round + static_cast<int>(d) + 1;
        MUST(world_.set_pointer(kernel_, 0, at));
        MUST(clSetKernelArg(kernel_, 1, sizeof(what), &what));
        const std::size_t items = count;
        MUST(clEnqueueNDRangeKernel(queues_[d], kernel_, 1, nullptr, &items, nullptr, 0, nullptr,
                                    nullptr));
        MUST(clFinish(queues_[d]));
        added += what;
        // Each second time the next device takes over from this one.
        if ((round + d) % 2 == 0) continue;
        ++at[count - 1];
        check(at, added + 1, count - 1, kind);
        --at[count - 1];
      }
      for (int i = 0; i < count; i += 97) check(at, added, i, kind);
    }
  }

  void every_kind() const {
    for (const cl_device_id device : devices_) {
      cl_int status = CL_SUCCESS;
      auto* const shared = static_cast<int*>(
          world_.shared_alloc(context_, device, nullptr, count * sizeof(int), 0, &status));
      MUST(status);
      pass_around(shared, "shared allocation of a device");
      MUST(world_.free(context_, shared));
    }
    cl_int status = CL_SUCCESS;
    auto* const across = static_cast<int*>(
        world_.shared_alloc(context_, nullptr, nullptr, count * sizeof(int), 0, &status));
    MUST(status);
    pass_around(across, "shared allocation of no device");
    MUST(world_.free(context_, across));
    auto* const host =
        static_cast<int*>(world_.host_alloc(context_, nullptr, count * sizeof(int), 0, &status));
    MUST(status);
    pass_around(host, "host allocation");
    MUST(world_.free(context_, host));
    auto* const svm =
        static_cast<int*>(clSVMAlloc(context_, CL_MEM_READ_WRITE, count * sizeof(int), 0));
    expect(svm != nullptr, name_ + ": clSVMAlloc");
    if (svm == nullptr) return;
    pass_around(svm, "clSVMAlloc");
    clSVMFree(context_, svm);
  }

  // A pointer that no buffer can begin at.
  void any_byte() const {
    cl_int status = CL_SUCCESS;
    auto* const at = static_cast<char*>(
        world_.device_alloc(context_, devices_.front(), nullptr, count * sizeof(int), 0, &status));
    MUST(status);
    expect(world_.set_pointer(kernel_, 0, at + 4) == CL_SUCCESS,
           name_ + ": a pointer that is not aligned");
    MUST(world_.free(context_, at));
  }

  // A macro may stand for anything, so that no text is harmless with one that has a star in it.
  void options_of_each() const {
    cl_int status = CL_SUCCESS;
    const char* text =
        "#ifndef STAR\n#define STAR +\n#endif\n"
        "kernel void f(global int* at) { at[0] = 2 STAR 3; }";
    const cl_program program = clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
    MUST(status);
    for (std::size_t i = 0; i < devices_.size(); ++i)
      MUST(clBuildProgram(program, 1, &devices_[i], i == 0 ? "" : "-DSTAR=*", nullptr, nullptr));
    const cl_kernel kernel = clCreateKernel(program, "f", &status);
    MUST(status);
    void* const at =
        world_.shared_alloc(context_, nullptr, nullptr, count * sizeof(int), 0, &status);
    MUST(status);
    MUST(world_.set_pointer(kernel, 0, at));
    world_.allow_indirect(kernel);
    const std::size_t one = 1;
    expect(clEnqueueNDRangeKernel(queues_[0], kernel, 1, nullptr, &one, nullptr, 0, nullptr,
                                  nullptr) == CL_INVALID_OPERATION,
           name_ + ": a kernel whose text is harmless for the first device only");
    MUST(world_.free(context_, at));
    clReleaseKernel(kernel);
    clReleaseProgram(program);
  }

 private:
  void check(const int* at, int added, int i, const char* kind) const {
    expect(at[i] == i + added, name_ + ": " + kind + ": " + std::to_string(at[i]) + " for " +
                                   std::to_string(i + added));
  }

  const usm::World& world_;
  std::vector<cl_device_id> devices_;
  std::string name_;
  cl_context context_ = nullptr;
  cl_program program_ = nullptr;
  std::vector<cl_command_queue> queues_;
  cl_kernel kernel_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  const usm::World world;
  const std::string what = argc > 1 ? argv[1] : "1";
  const std::vector<cl_device_id> devices = devices_of(world.platform);
  const std::vector<cl_device_id> parts =
      what == "parts" ? parts_of(world.device) : std::vector<cl_device_id>{};
  if (what == "parts") {
    if (parts.empty()) usm::cannot_tell("this device cannot be parted");
    Several(world, parts, "all parts of a device").every_kind();
    Several(world, {parts.back()}, "one part of a device").every_kind();
    std::vector<cl_device_id> with_whole = parts;
    with_whole.push_back(world.device);
    Several(world, with_whole, "a device and its parts").every_kind();
  } else if (what == "any_byte") {
    Several(world, {devices.back()}, "the last device").any_byte();
  } else if (what == "options") {
    Several(world, devices, "all devices").options_of_each();
  } else {
    expect(devices.size() >= std::stoul(what), "there are fewer devices");
    Several(world, devices, "all devices").every_kind();
    for (cl_device_id one : devices) Several(world, {one}, "one device alone").every_kind();
  }
  for (cl_device_id part : parts) MUST(clReleaseDevice(part));
  std::printf("%zu devices, %zu parts\nmany devices: %s\n", devices.size(), parts.size(),
              failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
