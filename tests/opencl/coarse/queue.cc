// Queues with a thread each, the commands that move bytes, and events.
#include "driver.hpp"

struct _cl_command_queue : coarse::Object {
  struct Command {
    std::vector<cl_event> before;
    cl_event event;
    std::function<cl_int()> work;
  };
  cl_context context;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Command> commands;
  bool ending = false;
  bool busy = false;
  std::thread worker;

  explicit _cl_command_queue(cl_context of) : context(of), worker([this] { run(); }) {
    coarse::retain(context);
  }
  ~_cl_command_queue() {
    {
      std::lock_guard lock(mutex);
      ending = true;
    }
    changed.notify_all();
    worker.join();
    coarse::release(context);
  }
  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ending || !commands.empty(); });
      if (commands.empty()) return;
      Command command = std::move(commands.front());
      commands.pop_front();
      busy = true;
      lock.unlock();
      cl_int status = CL_SUCCESS;
      for (cl_event one : command.before) {
        if (const cl_int ended = one->wait(); ended < 0) status = ended;
        coarse::release(one);
      }
      if (status == CL_SUCCESS) status = command.work();
      command.event->complete(status);
      coarse::release(command.event);
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
};

void _cl_event::complete(cl_int with) {
  std::vector<std::function<void(cl_int)>> calls;
  {
    std::lock_guard lock(mutex);
    status = with;
    calls.swap(callbacks);
  }
  changed.notify_all();
  for (const auto& call : calls) call(with);
}

cl_int _cl_event::wait() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return status <= CL_COMPLETE; });
  return status;
}

namespace coarse {

cl_int enqueue(cl_command_queue queue, cl_command_type type, cl_uint count, const cl_event* list,
               cl_event* event, std::function<cl_int()> work) {
  // As NVIDIA's driver does: behind an event that has failed nothing is enqueued.
  for (cl_uint i = 0; i < count; ++i) {
    std::lock_guard lock(list[i]->mutex);
    if (list[i]->status < 0) return list[i]->status;
  }
  auto* const made = new _cl_event;
  made->context = queue->context;
  made->queue = queue;
  made->type = type;
  if (event != nullptr) {
    retain(made);
    *event = made;
  }
  std::vector<cl_event> before(list, list + count);
  for (cl_event one : before) retain(one);
  std::lock_guard lock(queue->mutex);
  queue->commands.push_back({std::move(before), made, std::move(work)});
  queue->changed.notify_all();
  return CL_SUCCESS;
}

namespace {

cl_command_queue create_queue(cl_context context, cl_device_id, cl_command_queue_properties,
                              cl_int* error) {
  if (error != nullptr) *error = CL_SUCCESS;
  return new _cl_command_queue(context);
}

cl_command_queue create_queue_with_properties(cl_context context, cl_device_id id,
                                              const cl_queue_properties*, cl_int* error) {
  return create_queue(context, id, 0, error);
}

cl_int finish(cl_command_queue queue) {
  std::unique_lock lock(queue->mutex);
  queue->changed.wait(lock, [queue] { return queue->commands.empty() && !queue->busy; });
  return CL_SUCCESS;
}

cl_int release_queue(cl_command_queue queue) {
  finish(queue);
  return release(queue);
}

cl_int end(cl_bool blocking, cl_int status, cl_event own, cl_event* event) {
  if (own == nullptr) return status;
  if (blocking != CL_FALSE) own->wait();
  if (event != nullptr)
    *event = own;
  else
    release(own);
  return status;
}

// One side of a copy: `size` bytes in each of `rows` rows, in `slices` slices.
struct Side {
  char* at;
  size_t row = 0;  // from one to the next
  size_t slice = 0;
};
struct Shape {
  size_t size;
  size_t rows = 1;
  size_t slices = 1;
};

// Between places, no pointers of the device's.
cl_int copy_places(cl_command_queue queue, cl_bool blocking, const Side& to, const Side& from,
                   const Shape& shape, cl_uint count, const cl_event* list, cl_event* event) {
  // As drivers may, it takes a copy that is half pinned for a mistake.
  if (pinned_together(to.at, shape.size) != shape.size ||
      pinned_together(from.at, shape.size) != shape.size)
    return CL_INVALID_VALUE;
  cl_event own = nullptr;
  const cl_int status = enqueue(queue, CL_COMMAND_SVM_MEMCPY, count, list, &own, [=] {
    std::lock_guard lock(copying());
    for (size_t z = 0; z < shape.slices; ++z)
      for (size_t y = 0; y < shape.rows; ++y)
        std::memcpy(to.at + z * to.slice + y * to.row, from.at + z * from.slice + y * from.row,
                    shape.size);
    return CL_SUCCESS;
  });
  return end(blocking, status, own, event);
}

cl_int copy(cl_command_queue queue, cl_bool blocking, void* to, const void* from, size_t size,
            cl_uint count, const cl_event* list, cl_event* event) {
  // PoCL's remote devices never end one between two places of the host's.
  if (place_of(to) == to && place_of(from) == from) return CL_INVALID_OPERATION;
  // In order: it is done before the copy.
  enqueue(queue, CL_COMMAND_MARKER, count, list, nullptr, [=] {
    send_to_device({to, from});
    return CL_SUCCESS;
  });
  return copy_places(queue, blocking, {static_cast<char*>(place_of(to))},
                     {static_cast<char*>(place_of(from))}, {size}, count, list, event);
}

cl_int fill(cl_command_queue queue, void* to, const void* pattern, size_t pattern_size, size_t size,
            cl_uint count, const cl_event* list, cl_event* event) {
  const std::string copied(static_cast<const char*>(pattern), pattern_size);
  char* const at = static_cast<char*>(place_of(to));
  return enqueue(queue, CL_COMMAND_SVM_MEMFILL, count, list, event, [=] {
    note_filled(to, size);
    send_to_device({to});
    std::lock_guard lock(copying());
    for (size_t i = 0; i < size; i += copied.size())
      std::memcpy(at + i, copied.data(), copied.size());
    return CL_SUCCESS;
  });
}

cl_int map(cl_command_queue queue, cl_bool blocking, cl_map_flags, void* pointer, size_t size,
           cl_uint count, const cl_event* list, cl_event* event) {
  cl_event own = nullptr;
  const cl_int status = enqueue(queue, CL_COMMAND_SVM_MAP, count, list, &own, [=] {
    std::memcpy(pointer, place_of(pointer), size);
    return CL_SUCCESS;
  });
  return end(blocking, status, own, event);
}

// The buffer's side is translated and the host's is not: a device address is no host pointer.
char* place_in(cl_mem buffer, size_t offset) {
  return static_cast<char*>(place_of(buffer->device + offset));
}
char* host_place(const void* pointer) { return static_cast<char*>(const_cast<void*>(pointer)); }
bool lies_in(cl_mem buffer, size_t offset, size_t size) { return offset + size <= buffer->size; }

cl_int write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                    size_t size, const void* from, cl_uint count, const cl_event* list,
                    cl_event* event) {
  if (!lies_in(buffer, offset, size)) return CL_INVALID_VALUE;
  return copy_places(queue, blocking, {place_in(buffer, offset)}, {host_place(from)}, {size}, count,
                     list, event);
}

cl_int read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                   size_t size, void* to, cl_uint count, const cl_event* list, cl_event* event) {
  if (!lies_in(buffer, offset, size)) return CL_INVALID_VALUE;
  return copy_places(queue, blocking, {host_place(to)}, {place_in(buffer, offset)}, {size}, count,
                     list, event);
}

cl_int copy_buffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset,
                   size_t to_offset, size_t size, cl_uint count, const cl_event* list,
                   cl_event* event) {
  if (!lies_in(from, from_offset, size) || !lies_in(to, to_offset, size)) return CL_INVALID_VALUE;
  return copy_places(queue, CL_FALSE, {place_in(to, to_offset)}, {place_in(from, from_offset)},
                     {size}, count, list, event);
}

cl_int fill_buffer(cl_command_queue queue, cl_mem buffer, const void* pattern, size_t pattern_size,
                   size_t offset, size_t size, cl_uint count, const cl_event* list,
                   cl_event* event) {
  if (!lies_in(buffer, offset, size)) return CL_INVALID_VALUE;
  return fill(queue, buffer->device + offset, pattern, pattern_size, size, count, list, event);
}

// A rectangle's side from its origin on; pitches of 0 are those of the region.
Side side_of(char* base, const size_t* origin, const size_t* region, size_t row, size_t slice) {
  if (row == 0) row = region[0];
  if (slice == 0) slice = region[1] * row;
  return {base + origin[0] + origin[1] * row + origin[2] * slice, row, slice};
}

cl_int write_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                       const size_t* origin, const size_t* host_origin, const size_t* region,
                       size_t row, size_t slice, size_t host_row, size_t host_slice,
                       const void* from, cl_uint count, const cl_event* list, cl_event* event) {
  return copy_places(queue, blocking, side_of(place_in(buffer, 0), origin, region, row, slice),
                     side_of(host_place(from), host_origin, region, host_row, host_slice),
                     {region[0], region[1], region[2]}, count, list, event);
}

cl_int read_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking, const size_t* origin,
                      const size_t* host_origin, const size_t* region, size_t row, size_t slice,
                      size_t host_row, size_t host_slice, void* to, cl_uint count,
                      const cl_event* list, cl_event* event) {
  return copy_places(queue, blocking,
                     side_of(host_place(to), host_origin, region, host_row, host_slice),
                     side_of(place_in(buffer, 0), origin, region, row, slice),
                     {region[0], region[1], region[2]}, count, list, event);
}

cl_int marker(cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
  return enqueue(queue, CL_COMMAND_MARKER, count, list, event, [] { return CL_SUCCESS; });
}

// Its memory is all devices'.
cl_int migrate(cl_command_queue queue, cl_uint, const cl_mem*, cl_mem_migration_flags,
               cl_uint count, const cl_event* list, cl_event* event) {
  return enqueue(queue, CL_COMMAND_MIGRATE_MEM_OBJECTS, count, list, event,
                 [] { return CL_SUCCESS; });
}

// --- events --------------------------------------------------------------------------------------

cl_event create_user_event(cl_context context, cl_int* error) {
  auto* const event = new _cl_event;
  event->context = context;
  event->type = CL_COMMAND_USER;
  event->status = CL_SUBMITTED;
  if (error != nullptr) *error = CL_SUCCESS;
  return event;
}

cl_int set_user_event(cl_event event, cl_int status) {
  event->complete(status);
  return CL_SUCCESS;
}

// As NVIDIA's driver, it does not say that a user event failed.
cl_int wait_for_events(cl_uint count, const cl_event* list) {
  cl_int status = CL_SUCCESS;
  for (cl_uint i = 0; i < count; ++i)
    if (list[i]->wait() < 0 && list[i]->type != CL_COMMAND_USER)
      status = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
  return status;
}

cl_int event_info(cl_event event, cl_event_info name, size_t size, void* value, size_t* size_ret) {
  switch (name) {
    case CL_EVENT_COMMAND_EXECUTION_STATUS: {
      std::lock_guard lock(event->mutex);
      return give(event->status, size, value, size_ret);
    }
    case CL_EVENT_CONTEXT:
      return give(event->context, size, value, size_ret);
    case CL_EVENT_COMMAND_QUEUE:
      return give(event->queue, size, value, size_ret);
    case CL_EVENT_COMMAND_TYPE:
      return give(event->type, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int set_callback(cl_event event, cl_int, void (*call)(cl_event, cl_int, void*), void* data) {
  std::unique_lock lock(event->mutex);
  if (event->status > CL_COMPLETE) {
    event->callbacks.emplace_back([=](cl_int status) { call(event, status, data); });
    return CL_SUCCESS;
  }
  const cl_int status = event->status;
  lock.unlock();
  call(event, status, data);
  return CL_SUCCESS;
}

}  // namespace

void fill_queue_table(cl_icd_dispatch& calls) {
  calls.clCreateCommandQueue = create_queue;
  calls.clCreateCommandQueueWithProperties = create_queue_with_properties;
  calls.clRetainCommandQueue = retain<cl_command_queue>;
  calls.clReleaseCommandQueue = release_queue;
  calls.clFlush = [](cl_command_queue) -> cl_int { return CL_SUCCESS; };
  calls.clFinish = finish;
  calls.clEnqueueSVMMemcpy = copy;
  calls.clEnqueueSVMMemFill = fill;
  calls.clEnqueueSVMMap = map;
  calls.clEnqueueReadBuffer = read_buffer;
  calls.clEnqueueWriteBuffer = write_buffer;
  calls.clEnqueueReadBufferRect = read_rectangle;
  calls.clEnqueueWriteBufferRect = write_rectangle;
  calls.clEnqueueCopyBuffer = copy_buffer;
  calls.clEnqueueFillBuffer = fill_buffer;
  calls.clEnqueueMarkerWithWaitList = marker;
  calls.clEnqueueMigrateMemObjects = migrate;
  calls.clCreateUserEvent = create_user_event;
  calls.clSetUserEventStatus = set_user_event;
  calls.clWaitForEvents = wait_for_events;
  calls.clGetEventInfo = event_info;
  calls.clSetEventCallback = set_callback;
  calls.clRetainEvent = retain<cl_event>;
  calls.clReleaseEvent = release<cl_event>;
}

}  // namespace coarse
