"""python3's faulthandler on the stand-in driver. Arguments: the stand-in's library, and "crash" to end by a real one."""

import ctypes
import faulthandler
import sys

stand_in = ctypes.CDLL(sys.argv[1])
stand_in.stand_in_allocate.restype = ctypes.c_void_p
stand_in.stand_in_allocate.argtypes = [ctypes.c_size_t]
stand_in.stand_in_add.argtypes = [ctypes.c_void_p, ctypes.c_int]
memory = stand_in.stand_in_allocate(40960)
faulthandler.enable()
words = (ctypes.c_int * 1000).from_address(memory)
for i in range(1000):
    words[i] = i
stand_in.stand_in_add(memory, 5)
print("right" if list(words) == [i + 5 for i in range(1000)] else "wrong", flush=True)
if "crash" in sys.argv:
    ctypes.string_at(0)
