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
 *     Destroyed and invalid handles are refused with SLUICE_ERROR_INVALID_ARGUMENT; functions
 *     without a status do nothing, or return 0, and set sluice_last_error().
 *  5. Every function may be called from several threads at once, also on the same handle; a handle
 *     destroyed during a call lives until that call returns. Signal handlers may call none of them.
 *  6. A location is a device's number, 0..63, or SLUICE_HOST.
 *  7. A list is a pointer and a count, of at most 64 devices, or 1048576 parts, uses or fences.
 *     Sizes are bytes, times are nanoseconds. A negative timeout waits without limit.
 *  8. Functions that write text take a buffer and its capacity, always terminate the text, truncate
 *     it if necessary, and return the length of the whole text, as snprintf does.
 *  9. The C++ headers of the same names (sluice/space.hpp, sluice/launch.hpp, ...) document each
 *     call and its statuses. SLUICE_ERROR_INVALID_ARGUMENT is also returned for null handles and
 *     unknown enumerators here.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/enumerators.h"
#include "sluice/structures.h"
#include "sluice/version.h"

#ifdef __cplusplus
extern "C" {
#endif

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

/* Ranges. A free waits for kernels that use the range; free_if_idle returns SLUICE_ERROR_BUSY. */
SLUICE_API enum sluice_status sluice_allocate(const sluice_space* space, size_t size,
                                              enum sluice_kind kind, enum sluice_host_pages pages,
                                              void** base);
SLUICE_API enum sluice_status sluice_allocate_on_device(const sluice_space* space, int device,
                                                        size_t size, void** base);
/* Any of these, with a name that messages tell beside the address. */
SLUICE_API enum sluice_status sluice_allocate_range(const sluice_space* space,
                                                    const struct sluice_range_request* request,
                                                    void** base);
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

/* Scopes on CUDA streams (sluice/stream_scope.hpp): begin brings all memory of the request to the
   device, and keeps it there for the work that the program puts into the stream until end. end
   destroys the scope, also if it fails; `fence`, which may be null, completes with that work.
   SLUICE_ERROR_UNSUPPORTED: software devices have no streams. To end null is refused. */
SLUICE_API enum sluice_status sluice_scope_begin(const sluice_space* space,
                                                 const struct sluice_scope_request* request,
                                                 sluice_scope** scope);
SLUICE_API enum sluice_status sluice_scope_end(sluice_scope* scope, struct sluice_fence* fence);

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

/* Findings of strict mode (sluice/finding.hpp). get: SLUICE_ERROR_INVALID_ARGUMENT if none has
   that index. text: the finding as it was printed: the kernel and the bytes, where the launch was
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
