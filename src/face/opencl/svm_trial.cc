// A trial of SVM, in a context of its own that is gone when it ends.
//
// Sharing: the host stores a word, a kernel adds one to it, the host looks; twice, because a driver
// may send the host's bytes at first use and never again. The host's side: where the two are
// separate, plain memory is laid over the host's side and the driver copies and runs a kernel; a
// page that is there afterwards was touched by the driver. A driver that counts the host's bytes as
// newest sends them at first use; one that has been told to fill all of it has nothing to send. In
// the same way a kernel gets a buffer over SVM. Costs a build of one kernel and some commands, once
// for each device and process. What it does not do: find a driver that uses the host's side again
// later.
#include "svm_trial.hpp"

#include "base/types.hpp"
#include "device_trials.hpp"
#include "layer.hpp"
#include "os/touched_memory.hpp"

namespace sluice::opencl {
namespace {

constexpr const char* source = "kernel void sluice_trial(global uint* p) { p[1] = p[0] + 1; }";
constexpr std::size_t size = 2 * block_size;  // has a whole block in it

// Handles of one trial; those that could not be created are null.
class Trial {
 public:
  explicit Trial(cl_device_id device) : device_(device) {
    cl_int status = CL_SUCCESS;
    context_ = driver().clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
    if (context_ == nullptr) return;
    queue_ = driver().clCreateCommandQueue(context_, device, 0, &status);
    build();
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial() {
    if (kernel_ != nullptr) driver().clReleaseKernel(kernel_);
    if (program_ != nullptr) driver().clReleaseProgram(program_);
    if (queue_ != nullptr) driver().clReleaseCommandQueue(queue_);
    if (context_ != nullptr) driver().clReleaseContext(context_);
  }

  [[nodiscard]] SvmTrial::SharedBytes sharing() const {
    using SharedBytes = SvmTrial::SharedBytes;
    if (kernel_ == nullptr) return SharedBytes::unknown;
    auto* const words = static_cast<volatile cl_uint*>(allocate());
    if (words == nullptr) return SharedBytes::unknown;
    SharedBytes found = SharedBytes::same;
    for (const cl_uint value : {7U, 40U}) {
      words[0] = value;
      words[1] = 0;
      if (!run(const_cast<cl_uint*>(words))) found = SharedBytes::unknown;
      if (found == SharedBytes::same && words[1] != value + 1) found = SharedBytes::apart;
    }
    free(const_cast<cl_uint*>(words));
    return found;
  }

  // True if the driver touches the host's side, after it was told to fill all of it or not.
  [[nodiscard]] bool touches_host_side(bool filled) const {
    void* const pointer = allocate();
    if (pointer == nullptr) return false;
    const bool touched = touches(pointer, filled);
    free(pointer);
    return touched;
  }

  // The same for a buffer over an allocation; also checks whether a kernel uses the allocation's
  // bytes through it.
  [[nodiscard]] bool makes_buffers(bool filled) const {
    void* const pointer = allocate();
    if (pointer == nullptr) return false;
    const bool worked = (!filled || fill(pointer)) && works_by_buffer(pointer);
    free(pointer);
    return worked;
  }

 private:
  void build() {
    if (driver().clCreateProgramWithSource == nullptr || driver().clBuildProgram == nullptr) return;
    cl_int status = CL_SUCCESS;
    const char* text = source;
    program_ = driver().clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
    if (program_ == nullptr ||
        driver().clBuildProgram(program_, 1, &device_, nullptr, nullptr, nullptr) != CL_SUCCESS)
      return;
    kernel_ = driver().clCreateKernel(program_, "sluice_trial", &status);
  }
  [[nodiscard]] void* allocate() const {
    if (queue_ == nullptr) return nullptr;
    return driver().clSVMAlloc(context_, CL_MEM_READ_WRITE, size, 0);
  }
  void free(void* pointer) const {
    driver().clFinish(queue_);
    driver().clSVMFree(context_, pointer);
  }
  [[nodiscard]] bool run(void* pointer) const {
    constexpr std::size_t one = 1;
    return kernel_ != nullptr &&
           driver().clSetKernelArgSVMPointer(kernel_, 0, pointer) == CL_SUCCESS &&
           driver().clEnqueueNDRangeKernel(queue_, kernel_, 1, nullptr, &one, nullptr, 0, nullptr,
                                           nullptr) == CL_SUCCESS &&
           driver().clFinish(queue_) == CL_SUCCESS;
  }
  [[nodiscard]] bool fill(void* pointer) const {
    constexpr cl_uint zero = 0;
    return driver().clEnqueueSVMMemFill(queue_, pointer, &zero, sizeof(zero), size, 0, nullptr,
                                        nullptr) == CL_SUCCESS &&
           driver().clFinish(queue_) == CL_SUCCESS;
  }
  [[nodiscard]] bool works_by_buffer(void* pointer) const {
    const Address begin{round_up(Address::of(pointer).value, block_size)};
    const auto laid = os::TouchedMemory::lay_over({begin, block_size});
    if (!laid || program_ == nullptr) return false;
    void* const inside = reinterpret_cast<void*>(begin.value);  // NOLINT(performance-no-int-to-ptr)
    cl_uint words[2] = {100, 0};
    cl_int status = CL_SUCCESS;
    const cl_mem buffer = driver().clCreateBuffer(context_, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                                  sizeof(words), inside, &status);
    if (buffer == nullptr) return false;
    // A kernel of its own: NVIDIA's driver accepts no value where a pointer was.
    const cl_kernel kernel = driver().clCreateKernel(program_, "sluice_trial", &status);
    constexpr std::size_t one = 1;
    const bool ran = kernel != nullptr &&
                     driver().clEnqueueSVMMemcpy(queue_, CL_TRUE, inside, words, sizeof(words), 0,
                                                 nullptr, nullptr) == CL_SUCCESS &&
                     driver().clSetKernelArg(kernel, 0, sizeof(buffer), &buffer) == CL_SUCCESS &&
                     driver().clEnqueueNDRangeKernel(queue_, kernel, 1, nullptr, &one, nullptr, 0,
                                                     nullptr, nullptr) == CL_SUCCESS &&
                     driver().clEnqueueSVMMemcpy(queue_, CL_TRUE, words, inside, sizeof(words), 0,
                                                 nullptr, nullptr) == CL_SUCCESS;
    if (kernel != nullptr) driver().clReleaseKernel(kernel);
    driver().clReleaseMemObject(buffer);
    driver().clFinish(queue_);
    return ran && words[1] == 101 && !laid->was_touched();
  }
  [[nodiscard]] bool touches(void* pointer, bool filled) const {
    if (filled && !fill(pointer)) return true;
    const Address begin{round_up(Address::of(pointer).value, block_size)};
    const auto laid = os::TouchedMemory::lay_over({begin, block_size});
    if (!laid) return true;  // unknown; the device then works without SVM in any case
    void* const inside = reinterpret_cast<void*>(begin.value);  // NOLINT(performance-no-int-to-ptr)
    cl_uint words[2] = {100, 0};
    (void)driver().clEnqueueSVMMemcpy(queue_, CL_TRUE, inside, words, sizeof(words), 0, nullptr,
                                      nullptr);
    (void)run(inside);
    (void)driver().clEnqueueSVMMemcpy(queue_, CL_TRUE, words, inside, sizeof(words), 0, nullptr,
                                      nullptr);
    driver().clFinish(queue_);
    return laid->was_touched();
  }

  cl_device_id device_;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  cl_program program_ = nullptr;
  cl_kernel kernel_ = nullptr;
};

SvmTrial make_trial(cl_device_id device) {
  const Trial trial(device);
  SvmTrial found{.sharing = trial.sharing()};
  if (found.sharing == SvmTrial::SharedBytes::same)
    found.host_side = SvmTrial::HostSide::used;  // it is the device's side
  else if (trial.touches_host_side(false))
    found.host_side =
        trial.touches_host_side(true) ? SvmTrial::HostSide::used : SvmTrial::HostSide::sent_once;
  if (found.host_side != SvmTrial::HostSide::used)
    found.buffers_work = trial.makes_buffers(found.host_side == SvmTrial::HostSide::sent_once);
  return found;
}

}  // namespace

SvmTrial try_svm(cl_device_id device) {
  static auto& trials = *new DeviceTrials<SvmTrial>;  // never destroyed: threads may outlive main()
  return trials.ask(device, make_trial);
}

}  // namespace sluice::opencl
