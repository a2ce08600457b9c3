// Contexts and queues as the program makes and releases them; kernels and events are in files of
// their own.
//
// References are counted as the program holds them, because the driver's own count includes
// references of its objects. A context without references is ended once all its allocations are
// freed; with allocations left its arenas stay, since the program may still use their pointers.
#include <algorithm>
#include <span>

#include "entries.hpp"
#include "layer.hpp"
#include "objects.hpp"
#include "options.hpp"

namespace sluice::opencl {

Objects& objects() noexcept {
  static Objects* const only = new Objects;
  return *only;
}

Kernel::~Kernel() {
  for (const auto& [index, argument] : pointers)
    if (argument.part != nullptr) driver().clReleaseMemObject(argument.part);
}

namespace {

std::vector<cl_device_id> devices_of(cl_context context) {
  size_t size = 0;
  driver().clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, nullptr, &size);
  std::vector<cl_device_id> devices(size / sizeof(cl_device_id));
  driver().clGetContextInfo(context, CL_CONTEXT_DEVICES, size, devices.data(), nullptr);
  return devices;
}

// `given`: by the program, if it names devices. PoCL reports a context of parts of a device as one
// of the whole device.
cl_context note_context(cl_context context, std::span<const cl_device_id> given) {
  if (context == nullptr) return context;
  std::vector<cl_device_id> reported = devices_of(context);
  std::vector<cl_device_id> devices(given.begin(), given.end());
  if (given.empty()) devices = reported;
  objects().contexts.insert(
      context, std::make_shared<Context>(context, std::move(devices), std::move(reported)));
  return context;
}

cl_context CL_API_CALL create_context(const cl_context_properties* properties, cl_uint count,
                                      const cl_device_id* devices,
                                      void(CL_CALLBACK* notify)(const char*, const void*, size_t,
                                                                void*),
                                      void* user_data, cl_int* error) {
  return note_context(
      driver().clCreateContext(properties, count, devices, notify, user_data, error),
      {devices, devices == nullptr ? 0 : count});
}

cl_context CL_API_CALL create_context_from_type(const cl_context_properties* properties,
                                                cl_device_type type,
                                                void(CL_CALLBACK* notify)(const char*, const void*,
                                                                          size_t, void*),
                                                void* user_data, cl_int* error) {
  if (options().cpu_as_gpu && type == CL_DEVICE_TYPE_GPU) type |= CL_DEVICE_TYPE_CPU;
  return note_context(driver().clCreateContextFromType(properties, type, notify, user_data, error),
                      {});
}

cl_int CL_API_CALL retain_context(cl_context context) {
  if (const auto known = objects().contexts.find(context)) ++known->references;
  return driver().clRetainContext(context);
}

cl_int CL_API_CALL release_context(cl_context context) {
  const auto known = objects().contexts.find(context);
  if (known != nullptr && --known->references == 0) {
    const auto ended = objects().contexts.erase(context);
    // Kept forever, with its arenas: pointers into it may be in use.
    if (!known->is_empty()) new std::shared_ptr<Context>(known);
  }
  return driver().clReleaseContext(context);
}

cl_command_queue note_queue(cl_command_queue queue, cl_context context, cl_device_id device) {
  static std::atomic<std::uint32_t> made{0};
  const auto known = objects().contexts.find(context);
  if (queue == nullptr || known == nullptr) return queue;
  auto noted = std::make_shared<Queue>();
  noted->context = known;
  noted->device = device;
  noted->timeline = device::opencl::OpenclDevice::queue_by_number(made++);
  objects().queues.insert(queue, std::move(noted));
  return queue;
}

cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id device,
                                          cl_command_queue_properties properties, cl_int* error) {
  return note_queue(driver().clCreateCommandQueue(context, device, properties, error), context,
                    device);
}

cl_command_queue CL_API_CALL create_queue_with_properties(cl_context context, cl_device_id device,
                                                          const cl_queue_properties* properties,
                                                          cl_int* error) {
  return note_queue(driver().clCreateCommandQueueWithProperties(context, device, properties, error),
                    context, device);
}

cl_int CL_API_CALL retain_queue(cl_command_queue queue) {
  if (const auto known = objects().queues.find(queue)) ++known->references;
  return driver().clRetainCommandQueue(queue);
}

cl_int CL_API_CALL release_queue(cl_command_queue queue) {
  const auto known = objects().queues.find(queue);
  if (known != nullptr && --known->references == 0) objects().queues.erase(queue);
  return driver().clReleaseCommandQueue(queue);
}

// Migrations asked for ahead are part of a queue's pending work. Mesa 22.3's rusticl waits for no
// command that was flushed before, as all are that use managed memory, so it gets a last one.
cl_int CL_API_CALL finish(cl_command_queue queue) {
  const auto known = objects().queues.find(queue);
  if (known != nullptr && known->context->moves())
    (void)driver().clEnqueueMarkerWithWaitList(queue, 0, nullptr, nullptr);
  const cl_int status = driver().clFinish(queue);
  if (known != nullptr) known->context->hints().wait_for_all();
  return status;
}

}  // namespace

void override_object_calls(Entries& entries) noexcept {
  entries.set<create_context>(&cl_icd_dispatch::clCreateContext);
  entries.set<create_context_from_type>(&cl_icd_dispatch::clCreateContextFromType);
  entries.set<retain_context>(&cl_icd_dispatch::clRetainContext);
  entries.set<release_context>(&cl_icd_dispatch::clReleaseContext);
  entries.set<create_queue>(&cl_icd_dispatch::clCreateCommandQueue);
  entries.set_if_there<create_queue_with_properties>(
      &cl_icd_dispatch::clCreateCommandQueueWithProperties);
  entries.set<retain_queue>(&cl_icd_dispatch::clRetainCommandQueue);
  entries.set<release_queue>(&cl_icd_dispatch::clReleaseCommandQueue);
  entries.set<finish>(&cl_icd_dispatch::clFinish);
}

}  // namespace sluice::opencl
