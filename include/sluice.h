/* Sluice's C API, C11 and C++.
 *
 * Conventions
 *  1. A function that can fail returns SLUICE_OK (0) or the reason. sluice_last_error() then gives
 *     one line that names the offending value, kept for each thread until its next failed call.
 *  2. Results go to the last parameters, on success only. These may be null if the result is not
 *     wanted. Results and inputs may lie in managed memory.
 *  3. Extensible structures begin with their own size, which the caller sets: `struct sluice_launch
 *     l = {.size = sizeof l, ...}`. Fields are only ever added at the end. A library older than the
 *     program refuses unknown fields unless they are zero; a newer one takes missing fields as zero
 *     (as Linux's copy_struct_from_user does). Zero always means the default. Result fields beyond
 *     the caller's size are left out.
 *  4. Handles are pointers to incomplete types. Each is valid until it is destroyed, even after its
 *     space was closed: the space ends with its last handle. Destroying null does nothing.
 *     Destroyed and invalid handles are refused with SLUICE_INVALID_ARGUMENT; functions without a
 *     status do nothing, or return 0, and set sluice_last_error().
 *  5. Every function may be called from several threads at once, also on the same handle; a handle
 *     destroyed during a call lives until that call returns. Signal handlers may call none of them.
 *  6. A location is a device's number, 0..63, or SLUICE_HOST.
 *  7. A list is a pointer and a count, of at most 64 devices, or 1048576 parts, uses or fences.
 *     Sizes are bytes, times are nanoseconds. A negative timeout waits without limit.
 *  8. Functions that write text take a buffer and its capacity, always terminate the text, truncate
 *     it if necessary, and return the length of the whole text, as snprintf does.
 *  9. The C++ headers of the same names (sluice/space.hpp, sluice/launch.hpp, ...) document each
 *     call and its statuses. Here SLUICE_INVALID_ARGUMENT is also returned for null handles and
 *     unknown enumerators.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/version.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SLUICE_HOST = -1, SLUICE_MAX_DEVICES = 64 };

enum sluice_status {
  SLUICE_OK,
  SLUICE_INVALID_ARGUMENT,
  SLUICE_UNKNOWN_ADDRESS,
  SLUICE_UNKNOWN_DEVICE,
  SLUICE_UNKNOWN_KERNEL,
  SLUICE_BUSY,
  SLUICE_OUT_OF_HOST_MEMORY,
  SLUICE_OUT_OF_DEVICE_MEMORY,
  SLUICE_DEVICE_FAULT,
  SLUICE_DEVICE_LOST,
  SLUICE_DATA_LOST,
  SLUICE_TIMED_OUT,
  SLUICE_INTERRUPTED,
  SLUICE_UNSUPPORTED,
  SLUICE_SYSTEM
};
enum sluice_kind { SLUICE_KIND_SHARED, SLUICE_KIND_HOST, SLUICE_KIND_DEVICE };
enum sluice_every_shared_range { /* of a launch: Launch::every_shared_range() */
                                 SLUICE_EVERY_SHARED_NONE,
                                 SLUICE_EVERY_SHARED_WRITE, /* the kernel may read and write all of them */
                                 SLUICE_EVERY_SHARED_READ
};
enum sluice_access { SLUICE_READ, SLUICE_WRITE };
enum sluice_host_pages {
  SLUICE_PAGES_AUTOMATIC,
  SLUICE_PAGES_SMALL,
  SLUICE_PAGES_TRANSPARENT,
  SLUICE_PAGES_HUGE
};
enum sluice_grade {
  SLUICE_GRADE_BEST,
  SLUICE_GRADE_NONE,
  SLUICE_GRADE_SIGNAL,
  SLUICE_GRADE_USER,
  SLUICE_GRADE_FULL
};
enum sluice_overflow { SLUICE_OVERFLOW_REACH_HOST, SLUICE_OVERFLOW_REFUSE };
enum sluice_strict {
  SLUICE_STRICT_AUTOMATIC,
  SLUICE_STRICT_OFF,
  SLUICE_STRICT_REPORT,
  SLUICE_STRICT_STOP
};
enum sluice_finding_kind {
  SLUICE_FINDING_NOT_NAMED,
  SLUICE_FINDING_BEYOND,
  SLUICE_FINDING_NAMED_READ
};
enum sluice_stuck { SLUICE_STUCK_REPORT, SLUICE_STUCK_DENY };
enum sluice_advice {
  SLUICE_PREFER,
  SLUICE_NO_PREFERENCE,
  SLUICE_ACCESSED_BY,
  SLUICE_NOT_ACCESSED_BY,
  SLUICE_READ_MOSTLY,
  SLUICE_NOT_READ_MOSTLY
};
enum sluice_mapping_mode { SLUICE_PARTIAL, SLUICE_ALL_OR_NOTHING };
enum sluice_mapping_state {
  SLUICE_NOT_TRIED,
  SLUICE_PENDING,
  SLUICE_MAPPED,
  SLUICE_UNMAPPED,
  SLUICE_FAILED,
  SLUICE_UNDONE
};
enum sluice_on_signal { SLUICE_KEEP_WAITING, SLUICE_RETURN_INTERRUPTED };
enum sluice_event_kind {
  SLUICE_CPU_FAULT,
  SLUICE_GPU_FAULT,
  SLUICE_GPU_FAULT_REPLAY,
  SLUICE_MIGRATION,
  SLUICE_EVICTION,
  SLUICE_READ_DUPLICATE,
  SLUICE_READ_DUPLICATE_INVALIDATE,
  SLUICE_MAP_REMOTE,
  SLUICE_FATAL_FAULT,
  SLUICE_LAUNCH,
  SLUICE_ACCESS_STUCK,
  SLUICE_DEVICE_LOST_EVENT,
  SLUICE_QUEUE_STOP,
  SLUICE_RELOCATION,
  SLUICE_UNDECLARED_ACCESS
};
enum sluice_trace_format { SLUICE_TRACE_TEXT, SLUICE_TRACE_JSON_LINES, SLUICE_TRACE_CHROME };

typedef struct sluice_space sluice_space;
typedef struct sluice_queue sluice_queue;
typedef struct sluice_lease sluice_lease;
typedef struct sluice_pool sluice_pool;
typedef struct sluice_mapping sluice_mapping;

/* Values. A fence of all zeros is complete. The fields of a fence or kernel identify the space that
   it came from; every other space refuses it. */
struct sluice_fence {
  int32_t device;
  uint32_t timeline;
  uint64_t value;
};
struct sluice_kernel {
  int32_t device;
  uint32_t space;
  uint64_t id;
};
struct sluice_locations {
  uint64_t devices; /* bit n: device n */
  int32_t host;     /* 0 or 1 */
  int32_t reserved;
};

struct sluice_space_options {
  size_t size;
  int32_t device_count;      /* software devices; 0: one, -1: none */
  int32_t handler_threads;   /* 0: a quarter of the CPUs, 2 to 4 */
  size_t device_memory;      /* of each; 0: 256 MiB */
  uint64_t retrying_devices; /* bit n: page faults of device n are answered on demand */
  size_t device_budget, host_budget, address_space, access_window;
  const char* fault_plan; /* null: SLUICE_FAULT_PLAN, if set */
  int64_t kernel_timeout, transfer_timeout, access_timeout;
  enum sluice_host_pages host_pages;
  enum sluice_overflow overflow;
  enum sluice_stuck stuck;
  enum sluice_grade best_grade;
  int64_t stop_interval;
  uint64_t cuda_gpus; /* bit n: NVIDIA GPU n is a device; then there are no software devices */
  enum sluice_strict strict; /* software GPUs reach only what a launch names: docs/strict.md */
  int32_t reserved;
};
struct sluice_use {
  const void* data;
  size_t size;
  enum sluice_access access;
};
struct sluice_launch {
  size_t size;
  struct sluice_kernel kernel;
  const void* arguments;
  size_t argument_size;
  uint64_t items; /* 0: one */
  const struct sluice_use* uses;
  size_t use_count;
  const struct sluice_fence* after;
  size_t after_count;
  enum sluice_every_shared_range every_shared_range;
};
struct sluice_part {
  const void* data;
  size_t size;
};
struct sluice_mapping_request {
  size_t size;
  const struct sluice_part* parts;
  size_t part_count;
  const int32_t* devices;
  size_t device_count;
  enum sluice_access access;
  enum sluice_mapping_mode mode;
};
struct sluice_device_mapping {
  int32_t device;
  enum sluice_mapping_state state;
  enum sluice_status status; /* of SLUICE_FAILED */
  uint32_t dispatched;
};
struct sluice_mapping_report {
  size_t size, prefix, lost;
  int64_t remaining; /* -1: without limit */
  int32_t done, device_count;
  struct sluice_device_mapping devices[SLUICE_MAX_DEVICES];
};
struct sluice_range_info {
  size_t size;
  void* base;
  size_t bytes;
  enum sluice_kind kind;
  int32_t device;
};
struct sluice_residency {
  size_t size;
  struct sluice_locations holders, writers, readers, reached_by;
  int32_t lost;
};
struct sluice_residency_summary {
  size_t size, pages, untouched, host, lost, device[SLUICE_MAX_DEVICES];
};
struct sluice_attributes {
  size_t size;
  int32_t has_preferred, preferred, read_mostly;
  struct sluice_locations accessed_by;
};
struct sluice_space_status {
  size_t size;
  enum sluice_grade grade;
  int32_t shares_reads;
  enum sluice_host_pages host_pages;
  size_t address_space, ranges, bytes;
  char grade_reason[256];
  enum sluice_strict strict; /* never SLUICE_STRICT_AUTOMATIC */
  char strict_reason[252];   /* the devices that it is not enforced on; empty: none, or it is off */
  int32_t native_atomics;    /* of all devices */
};
struct sluice_device_info {
  size_t size;
  size_t memory_size, budget, in_use, argument_limit;
  int32_t copy_engines, retries_faults, reaches_host_memory, copies_from_peers, lost;
  char name[64];
  uint64_t queue_stops;
  int64_t stop_interval, stopped_for;
  int32_t native_atomics; /* of kernels and the host, on one word of host memory, to each other */
};
struct sluice_counters {
  size_t size;
  uint64_t cpu_faults, gpu_faults, fatal_faults, stuck_accesses, launches, prefetches,
      evicted_blocks, bytes_to_host, bytes_to_devices, bytes_between_devices, bytes_evicted,
      bytes_filled, devices_lost, queue_stops, relocated_blocks, bytes_relocated, borrowed_blocks,
      undeclared_accesses;
};
struct sluice_finding {
  size_t size;
  enum sluice_finding_kind kind;
  enum sluice_access access; /* the kernel's */
  int32_t device;
  enum sluice_kind range_kind;
  const void* address; /* of the first byte that was met */
  const void* range;
  size_t range_bytes, offset, touched_begin, touched_end;
  uint64_t pages, launches;
  char kernel[64];
};
struct sluice_event {
  uint64_t time, duration, address, bytes;
  enum sluice_event_kind kind;
  int32_t from, to, thread;
};

SLUICE_API const char* sluice_status_name(enum sluice_status status);
SLUICE_API const char* sluice_last_error(void);

/* Space. `options` may be null. */
SLUICE_API enum sluice_status sluice_space_open(const struct sluice_space_options* options,
                                                sluice_space** space);
SLUICE_API void sluice_space_close(sluice_space* space);
SLUICE_API enum sluice_status sluice_space_get_status(const sluice_space* space,
                                                      struct sluice_space_status* status);
SLUICE_API enum sluice_status sluice_space_get_counters(const sluice_space* space,
                                                        struct sluice_counters* counters);
SLUICE_API size_t sluice_space_check(const sluice_space* space, char* text,
                                     size_t capacity); /* 0: nothing is broken */

/* Ranges. A free waits for kernels that use the range; free_if_idle returns SLUICE_BUSY instead. */
SLUICE_API enum sluice_status sluice_allocate(const sluice_space* space, size_t size,
                                              enum sluice_kind kind, enum sluice_host_pages pages,
                                              void** base);
SLUICE_API enum sluice_status sluice_allocate_on_device(const sluice_space* space, int device,
                                                        size_t size, void** base);
SLUICE_API enum sluice_status sluice_free(const sluice_space* space, void* base);
SLUICE_API enum sluice_status sluice_free_if_idle(const sluice_space* space, void* base);

SLUICE_API enum sluice_status sluice_unmap_and_free(const sluice_space* space, void* base);
/* `device`: SLUICE_HOST, or its own. `report` may be null. */
SLUICE_API enum sluice_status sluice_relocate(const sluice_space* space, const void* data,
                                              size_t bytes, int device,
                                              struct sluice_mapping_report* report);

/* Mapping on several devices at once (sluice/mapping.hpp). `report` may be null, and is filled
   unless the call was refused. `mapping` of start: not null. sluice_mapping_why: the text of the
   device at `index` of the request, empty if it did not fail. */
SLUICE_API enum sluice_status sluice_map(const sluice_space* space,
                                         const struct sluice_mapping_request* request,
                                         int64_t timeout, enum sluice_on_signal on_signal,
                                         struct sluice_mapping_report* report);
SLUICE_API enum sluice_status sluice_unmap(const sluice_space* space,
                                           const struct sluice_mapping_request* request,
                                           int64_t timeout, enum sluice_on_signal on_signal,
                                           struct sluice_mapping_report* report);
SLUICE_API enum sluice_status sluice_map_start(const sluice_space* space,
                                               const struct sluice_mapping_request* request,
                                               int64_t timeout, sluice_mapping** mapping);
SLUICE_API enum sluice_status sluice_unmap_start(const sluice_space* space,
                                                 const struct sluice_mapping_request* request,
                                                 int64_t timeout, sluice_mapping** mapping);
SLUICE_API enum sluice_status sluice_mapping_wait(const sluice_mapping* mapping, int64_t timeout,
                                                  enum sluice_on_signal on_signal);
SLUICE_API enum sluice_status sluice_mapping_get_report(const sluice_mapping* mapping,
                                                        struct sluice_mapping_report* report);
SLUICE_API size_t sluice_mapping_why(const sluice_mapping* mapping, size_t index, char* text,
                                     size_t capacity);
SLUICE_API enum sluice_status sluice_mapping_resume(const sluice_mapping* mapping, int64_t timeout);
SLUICE_API void sluice_mapping_destroy(sluice_mapping* mapping);
/* `owner`: a device, or SLUICE_HOST for a shared range. */
SLUICE_API enum sluice_status sluice_allocate_mapped(const sluice_space* space, size_t size,
                                                     int owner, const int32_t* devices,
                                                     size_t device_count, enum sluice_access access,
                                                     void** base);

/* Launches. A null module means the built-in kernels. */
SLUICE_API enum sluice_status sluice_queue_create(const sluice_space* space, int device,
                                                  sluice_queue** queue);
SLUICE_API void sluice_queue_destroy(sluice_queue* queue);
SLUICE_API enum sluice_status sluice_kernel_find(const sluice_space* space, int device,
                                                 const char* module, const char* name,
                                                 struct sluice_kernel* kernel);
SLUICE_API enum sluice_status sluice_launch_submit(const sluice_queue* queue,
                                                   const struct sluice_launch* launch,
                                                   struct sluice_fence* fence);
SLUICE_API int sluice_fence_done(const sluice_space* space, struct sluice_fence fence);
SLUICE_API int sluice_fence_failed(const sluice_space* space, struct sluice_fence fence);
SLUICE_API enum sluice_status sluice_fence_wait(const sluice_space* space,
                                                struct sluice_fence fence, int64_t timeout,
                                                enum sluice_on_signal on_signal);
SLUICE_API enum sluice_status sluice_synchronize(const sluice_space* space, int64_t timeout,
                                                 enum sluice_on_signal on_signal);

/* Hints and data. */
SLUICE_API enum sluice_status sluice_prefetch(const sluice_space* space, const void* data,
                                              size_t size, int to, struct sluice_fence* fence);
SLUICE_API enum sluice_status sluice_advise(const sluice_space* space, const void* data,
                                            size_t size, enum sluice_advice advice, int location);
SLUICE_API enum sluice_status sluice_discard(const sluice_space* space, void* data, size_t size);
SLUICE_API enum sluice_status sluice_copy(const sluice_space* space, void* to, const void* from,
                                          size_t size);
SLUICE_API enum sluice_status sluice_lease_begin(const sluice_space* space, const void* data,
                                                 size_t size, int location,
                                                 enum sluice_access access, sluice_lease** lease);
SLUICE_API void sluice_lease_end(sluice_lease* lease);

/* Queries. */
SLUICE_API enum sluice_status sluice_range_of(const sluice_space* space, const void* address,
                                              struct sluice_range_info* info);
SLUICE_API enum sluice_status sluice_page_residency(const sluice_space* space, const void* address,
                                                    struct sluice_residency* residency);
SLUICE_API enum sluice_status sluice_count_residency(const sluice_space* space, const void* data,
                                                     size_t size,
                                                     struct sluice_residency_summary* summary);
SLUICE_API enum sluice_status sluice_page_attributes(const sluice_space* space, const void* address,
                                                     struct sluice_attributes* attributes);
SLUICE_API size_t sluice_explain(const sluice_space* space, const void* address, char* text,
                                 size_t capacity);

/* Findings of strict mode (sluice/finding.hpp). get: SLUICE_INVALID_ARGUMENT if there is no finding
   `index`. text: the finding as it was printed: the kernel and the bytes, where the launch was
   submitted, what it names, and what to write instead. */
SLUICE_API size_t sluice_finding_count(const sluice_space* space);
SLUICE_API enum sluice_status sluice_finding_get(const sluice_space* space, size_t index,
                                                 struct sluice_finding* finding);
SLUICE_API size_t sluice_finding_text(const sluice_space* space, size_t index, char* text,
                                      size_t capacity);

/* Devices. */
SLUICE_API int sluice_device_count(const sluice_space* space);
SLUICE_API enum sluice_status sluice_device_get_info(const sluice_space* space, int device,
                                                     struct sluice_device_info* info);
SLUICE_API enum sluice_status sluice_device_reset(const sluice_space* space, int device);
SLUICE_API enum sluice_status sluice_device_plan_faults(const sluice_space* space, int device,
                                                        const char* plan);

/* Pools (sluice/memory_resource.hpp). `alignment`: a power of two, the same when freed. */
SLUICE_API enum sluice_status sluice_pool_create(const sluice_space* space, enum sluice_kind kind,
                                                 sluice_pool** pool);
SLUICE_API void sluice_pool_destroy(sluice_pool* pool);
SLUICE_API enum sluice_status sluice_pool_allocate(sluice_pool* pool, size_t size, size_t alignment,
                                                   void** piece);
SLUICE_API void sluice_pool_free(sluice_pool* pool, void* piece, size_t size, size_t alignment);
SLUICE_API size_t sluice_pool_held(const sluice_pool* pool);

/* Trace. `capacity` of start: the number of events kept, 0: 65536. sluice_trace_events returns how
   many there are and writes at most `capacity`, the oldest first. */
SLUICE_API enum sluice_status sluice_trace_start(const sluice_space* space, size_t capacity);
SLUICE_API void sluice_trace_stop(const sluice_space* space);
SLUICE_API int sluice_trace_running(const sluice_space* space);
SLUICE_API size_t sluice_trace_events(const sluice_space* space, struct sluice_event* events,
                                      size_t capacity);
SLUICE_API uint64_t sluice_trace_overwritten(const sluice_space* space);
SLUICE_API size_t sluice_trace_print(const sluice_space* space, enum sluice_trace_format format,
                                     char* text, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
