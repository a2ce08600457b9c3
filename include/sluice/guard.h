/* The guard's one call, for drivers that answer access faults from SIGSEGV and want to stay first whatever the program sets.
   libsluice-guard.so is preloaded (sluice run --guard); look the function up with dlsym(RTLD_DEFAULT, "sluice_guard_register"),
   and set a handler of your own if it is not there. */
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called in the faulting thread with all signals blocked, with what the kernel gave the handler (a siginfo_t, a ucontext_t). Not 0: answered, the access is made
   again. 0: not yours. */
typedef int (*sluice_guard_answer)(int signal, void* info, void* context);

/* Called before the kernel touches a buffer, in a thread that is not in a handler: make those of its bytes that are yours
   accessible, to be stored to if `writes`. May be NULL. */
typedef void (*sluice_guard_touch)(uintptr_t begin, size_t size, int writes);

/* 0, also when it was registered before; -1 when there are too many (8). There is no way back: answer 0 from then on. */
__attribute__((visibility("default"))) int sluice_guard_register(sluice_guard_answer answer,
                                                                 sluice_guard_touch touch);

/* Tells the guard of addresses whose pages come when they are touched, and of which the kernel's own accesses fail with EFAULT. The
   guard touches what lies there before libc hands it to the kernel, receives messages beside it and copies them there, and waits for
   locks in it without showing them to the kernel. 0; -1 when there are too many (128). Remove a window before its addresses mean
   something else. Thread-safe. */
__attribute__((visibility("default"))) int sluice_guard_add_window(uintptr_t begin, size_t size);
__attribute__((visibility("default"))) void sluice_guard_remove_window(uintptr_t begin);

#ifdef __cplusplus
}
#endif
#endif
