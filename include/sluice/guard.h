/* The guard's interface for drivers that answer access faults from a SIGSEGV handler, which must
   stay first whatever handlers the program sets. libsluice-guard.so is preloaded (sluice run
   --guard). Look sluice_guard_register up with dlsym(RTLD_DEFAULT, "sluice_guard_register"); if it
   is missing, install your own handler. */
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called in the faulting thread with all signals blocked, and with the arguments of the signal
   handler (a siginfo_t, a ucontext_t). Return nonzero if the fault was answered: the access is
   retried. Return 0 if it is not yours. */
typedef int (*sluice_guard_answer)(int signal, void* info, void* context);

/* Called before the kernel touches a buffer, in a thread that is not in a handler. Make the bytes
   of it that are yours accessible, for writing if `writes` is set. May be NULL. */
typedef void (*sluice_guard_touch)(uintptr_t begin, size_t size, int writes);

/* Returns 0, also if it was registered before, or -1 if there are too many (8). Registration cannot
   be undone: to opt out, return 0 from `answer`. */
__attribute__((visibility("default"))) int sluice_guard_register(sluice_guard_answer answer,
                                                                 sluice_guard_touch touch);

/* Declares addresses that are populated on demand, where accesses by the kernel itself fail with
   EFAULT. The guard touches buffers there before libc passes them to the kernel, receives messages
   in other memory and copies them there, and waits for locks there without passing them to the
   kernel. Returns 0, or -1 if there are too many windows (128). Remove a window before its
   addresses are reused. Thread-safe. */
__attribute__((visibility("default"))) int sluice_guard_add_window(uintptr_t begin, size_t size);
__attribute__((visibility("default"))) void sluice_guard_remove_window(uintptr_t begin);

#ifdef __cplusplus
}
#endif
#endif
