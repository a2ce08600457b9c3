/* A stand-in for a GPU driver that migrates shared allocations by mprotect and a SIGSEGV handler, with its manners and its faults:
   a whole allocation moves at each fault, the handler is set once and passes foreign faults on badly. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void* stand_in_allocate(size_t size);
/* The bytes leave for the device; the host's pages become inaccessible. */
void stand_in_to_device(void* allocation);
/* A kernel: adds `value` to each int of an allocation that is on the device, and brings it there if it is not. */
void stand_in_add(void* allocation, int value);
unsigned stand_in_migrations(void);

#ifdef __cplusplus
}
#endif
