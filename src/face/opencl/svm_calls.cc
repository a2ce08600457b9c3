// Core SVM: allocations are managed too, and every call accepts pointers of both extensions, as
// their users expect. The rules are those that cl_khr_unified_svm relaxes: null pointers are no
// errors where there is nothing to do.
//
// Where pages move, mapping an allocation is no work: host accesses fault pages in. So a map is a
// command that completes when its turn comes, and the bytes are correct from then on. What it does
// not do: report SVM for a driver without it.
#include <bit>

#include "entries.hpp"
#include "events.hpp"
#include "extension.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

constexpr cl_svm_mem_flags access_flags = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;

void* CL_API_CALL svm_alloc(cl_context handle, cl_svm_mem_flags flags, size_t size,
                            cl_uint alignment) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr || size == 0 || !is_alignment(alignment)) return nullptr;
  if (context->moves()) {
    // Fine grain means concurrent access, which moving pages do not provide.
    if ((flags & ~access_flags) != 0 || std::popcount(flags) > 1) return nullptr;
    if (size > largest_size(*context, nullptr)) return nullptr;
  }
  return context->allocate({.type = CL_MEM_TYPE_UNKNOWN_INTEL,
                            .size = size,
                            .alignment = alignment == 0 ? largest_type : alignment,
                            .svm_flags = flags});
}

void CL_API_CALL svm_free(cl_context handle, void* pointer) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr || pointer == nullptr) return;
  (void)context->free(pointer);
}

// The state of a clEnqueueSVMFree until its turn comes.
struct PendingFree {
  std::shared_ptr<Context> context;
  cl_command_queue queue;
  std::vector<void*> pointers;
  void(CL_CALLBACK* call)(cl_command_queue, cl_uint, void**, void*);
  void* user_data;
};

void CL_CALLBACK free_now(cl_event event, cl_int /*status*/, void* user_data) {
  const std::unique_ptr<PendingFree> freeing(static_cast<PendingFree*>(user_data));
  Context& context = *freeing->context;
  // Freeing memory that moves may wait for a kernel, perhaps for one that needs this thread of
  // the driver.
  const auto free_all = [&context, pointers = freeing->pointers] {
    for (void* pointer : pointers) (void)context.free(pointer);
  };
  if (freeing->call != nullptr) {
    freeing->call(freeing->queue, static_cast<cl_uint>(freeing->pointers.size()),
                  freeing->pointers.data(), freeing->user_data);
  } else if (!context.moves() || !context.hints().add(free_all)) {
    free_all();
  }
  driver().clReleaseEvent(event);
}

cl_int CL_API_CALL enqueue_svm_free(cl_command_queue queue, cl_uint number, void** pointers,
                                    void(CL_CALLBACK* call)(cl_command_queue, cl_uint, void**,
                                                            void*),
                                    void* user_data, cl_uint count, const cl_event* wait_list,
                                    cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if ((number == 0) != (pointers == nullptr)) return CL_INVALID_VALUE;
  cl_event turn = nullptr;
  cl_int status = driver().clEnqueueMarkerWithWaitList(queue, count, wait_list, &turn);
  if (status != CL_SUCCESS) return status;
  if (event != nullptr) {
    note_event(turn, CL_COMMAND_SVM_FREE);
    driver().clRetainEvent(turn);
    *event = turn;
  }
  // In parentheses: braces would make a list of the two iterators, which are void* too.
  auto freeing = std::make_unique<PendingFree>(PendingFree{
      known->context, queue, std::vector<void*>(pointers, pointers + number), call, user_data});
  status = driver().clSetEventCallback(turn, CL_COMPLETE, free_now, freeing.get());
  if (status == CL_SUCCESS)
    (void)freeing.release();
  else
    driver().clReleaseEvent(turn);
  (void)driver().clFlush(queue);
  return status;
}

cl_int CL_API_CALL enqueue_svm_memcpy(cl_command_queue queue, cl_bool blocking, void* to,
                                      const void* from, size_t size, cl_uint count,
                                      const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  return copy(*known, queue, blocking, to, from, size, count, wait_list, event,
              CL_COMMAND_SVM_MEMCPY);
}

cl_int CL_API_CALL enqueue_svm_fill(cl_command_queue queue, void* to, const void* pattern,
                                    size_t pattern_size, size_t size, cl_uint count,
                                    const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  return fill(*known, queue, to, pattern, pattern_size, size, count, wait_list, event,
              CL_COMMAND_SVM_MEMFILL);
}

bool is_ours(const Queue& known, const void* pointer) {
  return known.context->moves() && known.context->find(pointer).has_value();
}

// Memory of no allocation, which host and device share: there is nothing to map.
bool is_plain(const Queue& known, const void* pointer) {
  return !known.context->moves() && !known.context->find(pointer);
}

// A type of SVM whose memory the host never has is not mapped.
bool is_unmappable(const Queue& known, const void* pointer) {
  const auto found = known.context->find(pointer);
  return found && found->asked.unified != nullptr && found->asked.svm_type() == SvmType::device;
}

cl_int CL_API_CALL enqueue_svm_map(cl_command_queue queue, cl_bool blocking, cl_map_flags flags,
                                   void* pointer, size_t size, cl_uint count,
                                   const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if (pointer == nullptr || size == 0 || is_unmappable(*known, pointer)) return CL_INVALID_VALUE;
  if (!is_ours(*known, pointer)) {
    // Fine-grain and plain memory needs no mapping; a driver without SVM has no call for it.
    if (known->context->has_buffers()) return CL_INVALID_VALUE;
    // PoCL 7.1 gives no event for memory of no allocation.
    if (is_plain(*known, pointer))
      return take_turn(queue, blocking, count, wait_list, event, CL_COMMAND_SVM_MAP);
    return driver().clEnqueueSVMMap(queue, blocking, flags, pointer, size, count, wait_list, event);
  }
  return take_turn(queue, blocking, count, wait_list, event, CL_COMMAND_SVM_MAP);
}

cl_int CL_API_CALL enqueue_svm_unmap(cl_command_queue queue, void* pointer, cl_uint count,
                                     const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if (pointer == nullptr || is_unmappable(*known, pointer)) return CL_INVALID_VALUE;
  if (is_ours(*known, pointer) || is_plain(*known, pointer))
    return enqueue_nothing(queue, count, wait_list, event, CL_COMMAND_SVM_UNMAP);
  if (known->context->has_buffers()) return CL_INVALID_VALUE;
  return driver().clEnqueueSVMUnmap(queue, pointer, count, wait_list, event);
}

cl_int CL_API_CALL enqueue_svm_migrate(cl_command_queue queue, cl_uint number,
                                       const void** pointers, const size_t* sizes,
                                       cl_mem_migration_flags flags, cl_uint count,
                                       const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if (number == 0 || pointers == nullptr) return CL_INVALID_VALUE;
  std::vector<AddressSpan> spans;
  spans.reserve(number);
  for (cl_uint i = 0; i < number; ++i) {
    spans.push_back({Address::of(pointers[i]), sizes == nullptr ? 0 : sizes[i]});
    if (pointers[i] == nullptr && spans.back().size != 0) return CL_INVALID_VALUE;
  }
  return migrate(*known, queue, spans, flags, count, wait_list, event, CL_COMMAND_SVM_MIGRATE_MEM);
}

}  // namespace

void override_svm_calls(Entries& entries) noexcept {
  entries.set<svm_alloc>(&cl_icd_dispatch::clSVMAlloc);
  entries.set<svm_free>(&cl_icd_dispatch::clSVMFree);
  entries.set<enqueue_svm_free>(&cl_icd_dispatch::clEnqueueSVMFree);
  entries.set<enqueue_svm_memcpy>(&cl_icd_dispatch::clEnqueueSVMMemcpy);
  entries.set<enqueue_svm_fill>(&cl_icd_dispatch::clEnqueueSVMMemFill);
  entries.set<enqueue_svm_map>(&cl_icd_dispatch::clEnqueueSVMMap);
  entries.set<enqueue_svm_unmap>(&cl_icd_dispatch::clEnqueueSVMUnmap);
  entries.set<enqueue_svm_migrate>(&cl_icd_dispatch::clEnqueueSVMMigrateMem);
}

}  // namespace sluice::opencl
