/* The handles and structures of sluice.h, which states their conventions. Included by it. */
#ifndef SLUICE_STRUCTURES_H
#define SLUICE_STRUCTURES_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/enumerators.h"

typedef struct sluice_space sluice_space;
typedef struct sluice_queue sluice_queue;
typedef struct sluice_lease sluice_lease;
typedef struct sluice_pool sluice_pool;
typedef struct sluice_mapping sluice_mapping;
typedef struct sluice_scope sluice_scope;

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

struct sluice_device_request {
  const char* back_end; /* "software", "cuda" */
  const char* options;  /* "key=value,key=value": docs/api.md, "Devices"; null: all defaults */
};
struct sluice_space_options {
  size_t size;
  int32_t device_count;    /* software devices; 0: one, -1: none */
  int32_t handler_threads; /* 0: a quarter of the CPUs, 2 to 4 */
  size_t device_memory;    /* of each; 0: 256 MiB */
  /* bit n < device_count: faults of device n are answered on demand */
  uint64_t recoverable_fault_devices;
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
  /* The devices 0, 1, ... one by one, in place of device_count, device_memory,
   * recoverable_fault_devices, fault_plan, kernel_timeout, transfer_timeout and cuda_gpus, which are
   * then 0. */
  const struct sluice_device_request* devices;
  size_t devices_count;
  size_t host_pool; /* bytes that freed ranges leave to the next; 0: automatic, SIZE_MAX: none */
};
struct sluice_range_request {
  size_t size, bytes;
  enum sluice_kind kind;
  enum sluice_host_pages pages;
  int32_t device; /* of SLUICE_KIND_DEVICE */
  int32_t reserved;
  const char* name; /* null: none */
  /* It is mapped on these, as by sluice_allocate_mapped(); `pages` is then automatic. */
  const int32_t* mapped_on;
  size_t mapped_on_count;
  enum sluice_access mapped_access;
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
struct sluice_scope_request {
  size_t size;
  void* stream; /* a cudaStream_t or CUstream; null: the default stream */
  const struct sluice_use* uses;
  size_t use_count;
  int32_t device;
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
  enum sluice_status status; /* of SLUICE_MAPPING_STATE_FAILED */
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
  char name[64];
};
struct sluice_residency {
  size_t size;
  struct sluice_locations holders, writers, readers, host_mapped_on;
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
  char no_private_tmpfs[252]; /* why host memory has no huge pages of its own; empty: it has */
  size_t host_pool, host_pooled; /* bytes that the pool may hold, and holds now */
  int32_t published;             /* `sluice top` shows the space */
};
struct sluice_device_info {
  size_t size;
  size_t memory_size, budget, in_use, argument_limit;
  int32_t copy_engines, recoverable_faults, maps_host_memory, copies_from_peers, lost;
  char name[64];
  uint64_t queue_stops;
  int64_t stop_interval, stopped_for;
  int32_t native_atomics; /* of kernels and the host, on one word of host memory, to each other */
  int32_t read_only_mappings; /* a store to memory that a launch named for reading is a fault */
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
  char kernel[64], range_name[64];
};
struct sluice_event {
  uint64_t time, duration, address, bytes;
  enum sluice_event_kind kind;
  int32_t from, to, thread;
};

#endif
