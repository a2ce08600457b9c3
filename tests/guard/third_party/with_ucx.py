"""UCX sets handlers of fatal signals when it is loaded. Argument: the stand-in's library."""

import ctypes
import sys

stand_in = ctypes.CDLL(sys.argv[1])
stand_in.stand_in_allocate.restype = ctypes.c_void_p
stand_in.stand_in_allocate.argtypes = [ctypes.c_size_t]
stand_in.stand_in_add.argtypes = [ctypes.c_void_p, ctypes.c_int]
memory = stand_in.stand_in_allocate(40960)
try:
    ctypes.CDLL("libucp.so.0", mode=ctypes.RTLD_GLOBAL)
except OSError:
    sys.exit(77)
words = (ctypes.c_int * 1000).from_address(memory)
for i in range(1000):
    words[i] = i
stand_in.stand_in_add(memory, 5)
print("right" if list(words) == [i + 5 for i in range(1000)] else "wrong", flush=True)
