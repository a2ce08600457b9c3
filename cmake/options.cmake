# Language, warnings, sanitizers and the compiler cache. sluice_options carries what our own code is compiled with; generated
# code (the Murphi verifiers) does not link it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
  set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()

add_library(sluice_options INTERFACE)
# Sizes and offsets are unsigned, differences signed: -Wsign-conversion would bury the losses that -Wconversion is there to show.
target_compile_options(sluice_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
target_compile_definitions(
  sluice_options
  INTERFACE _GNU_SOURCE $<$<BOOL:${SLUICE_CHECKED}>:SLUICE_CHECKED=1>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(sluice_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety>)
endif()

if(SLUICE_SANITIZE)
  if(NOT SLUICE_SANITIZE MATCHES "^(address|thread|undefined)$")
    message(FATAL_ERROR "SLUICE_SANITIZE is '${SLUICE_SANITIZE}': use address, thread or undefined")
  endif()
  # GCC takes the sanitizers' own checks for ways on which a variable has no value, and the release tree has this warning.
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-omit-frame-pointer $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
  if(SLUICE_SANITIZE STREQUAL "undefined")
    add_compile_options(-fno-sanitize-recover=all)
  elseif(SLUICE_SANITIZE STREQUAL "thread")
    # GCC warns wherever a fence is used, because TSan does not model fences. Ours order stores to device queues, which TSan
    # does not watch either.
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
    # TSan of GCC 12 refuses to start where the kernel randomises more than 28 bits of mmap addresses.
    set(mmap_random_bits 0)
    if(EXISTS /proc/sys/vm/mmap_rnd_bits)
      file(STRINGS /proc/sys/vm/mmap_rnd_bits mmap_random_bits LIMIT_COUNT 1)
    endif()
    if(mmap_random_bits GREATER 28)
      set(CMAKE_CROSSCOMPILING_EMULATOR setarch -R)
    endif()
  endif()
endif()

# ccache: the release, sanitizer and lint trees compile the same text, and so do several checkouts. Debug information names the
# build folder; without NOHASHDIR that alone would make every tree miss.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
endif()
