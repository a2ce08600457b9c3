/* The version of Sluice, for C and C++: of the headers at compile time, and of the library that the
   program runs with. They differ if the library was replaced; before 1.0, another minor version may
   have another interface. CMake takes the project's version from here. */
#ifndef SLUICE_VERSION_H
#define SLUICE_VERSION_H

#include <stdint.h>

#ifndef SLUICE_API
#define SLUICE_API __attribute__((visibility("default")))
#endif

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0

/* One number for each version, for comparisons: 0.1.0 is 100. Minor and patch are below 100. */
#define SLUICE_MAKE_VERSION(major, minor, patch) ((major) * 10000 + (minor) * 100 + (patch))
#define SLUICE_VERSION \
  SLUICE_MAKE_VERSION(SLUICE_VERSION_MAJOR, SLUICE_VERSION_MINOR, SLUICE_VERSION_PATCH)
#define SLUICE_VERSION_STRING               \
  SLUICE_VERSION_TEXT(SLUICE_VERSION_MAJOR) \
  "." SLUICE_VERSION_TEXT(SLUICE_VERSION_MINOR) "." SLUICE_VERSION_TEXT(SLUICE_VERSION_PATCH)
#define SLUICE_VERSION_TEXT(number) SLUICE_VERSION_QUOTED(number)
#define SLUICE_VERSION_QUOTED(digits) #digits

#ifdef __cplusplus
extern "C" {
#endif

/* Of the library: "0.1.0", and the number as SLUICE_VERSION has it. */
SLUICE_API const char* sluice_version(void);
SLUICE_API int32_t sluice_version_number(void);

#ifdef __cplusplus
}
#endif

#endif
