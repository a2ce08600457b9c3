/* Kernels of the software GPU: the interface of a shared object that can be launched on it.
 *
 * A kernel is a C function with the signature sluice_soft_kernel. Device::find_kernel(module, name)
 * loads the shared object `module` into the device's process and looks `name` up in it. C++ needs
 * extern "C".
 *
 * Conventions
 *  1. Managed addresses are the same as in the program: a pointer in the arguments, or stored in
 *     managed memory, may be followed. An access to an address that is not mapped on the device, or
 *     a store where only loads are allowed, ends the launch and stops its queue; the kernel does
 *     not return and destructors on its stack do not run.
 *  2. `arguments` points to a private copy of the launch's bytes, aligned to 64, valid until the
 *     kernel returns.
 *  3. A launch of n items calls the kernel for disjoint parts [begin, end) of [0, n). Today there
 *     is one call for all items; a kernel must not rely on that.
 *  4. Kernels of different queues run at the same time, in one process: globals of a module are
 *     shared by all queues of one device and by no other device. A reset discards them.
 *  5. A kernel that calls abort or exit takes its device down: device_lost.
 *  6. Threads that a kernel makes may not touch managed memory that can fault.
 */
#ifndef SLUICE_SOFT_KERNEL_H
#define SLUICE_SOFT_KERNEL_H

#include <stdint.h>

/* NOLINTBEGIN(modernize-use-using,readability-identifier-naming): this is C */
#ifdef __cplusplus
extern "C" {
#endif

typedef struct sluice_soft_work {
  uint64_t items;         /* LaunchCommand::items */
  uint64_t begin, end;    /* this call's part of them */
  uint32_t argument_size; /* bytes at `arguments` */
  uint16_t device;        /* the device's number */
  uint16_t queue;         /* the queue's number, 0..31 */
} sluice_soft_work;

typedef void sluice_soft_kernel(const sluice_soft_work* work, const void* arguments);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(modernize-use-using,readability-identifier-naming) */

#endif
