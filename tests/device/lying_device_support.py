#!/usr/bin/env python3
"""A device process that cannot be trusted: it answers its client with what SLUICE_LIE, a seed, makes of an answer.

Started by soft_trust_test.cc in the place of sluice-soft-device. The layout is that of device/soft/messages.hpp.
"""

import array
import os
import random
import socket
import struct
import time

READY, FAILED, FOUND = 1, 2, 4
HEADER = struct.Struct("<IIQQ40s")
LAYOUT_VERSION = int(os.environ["SLUICE_LAYOUT"])
TEXT_CAPACITY = 5 * 1024

lie = random.Random(int(os.environ["SLUICE_LIE"]))
client = socket.socket(fileno=3)


def numbers(right: int):
    return [right, right, right, 0, 1, right + 1, lie.getrandbits(12), lie.getrandbits(32), lie.getrandbits(64), 2**64 - 1]


def say(kind: int, serial: int, a: int):
    text = bytes(lie.getrandbits(8) for _ in range(lie.choice([0, 0, 1, 100, TEXT_CAPACITY])))
    claimed = lie.choice([len(text), len(text), len(text), 0, len(text) + 1, lie.getrandbits(32)])
    message = HEADER.pack(kind, claimed & 0xFFFFFFFF, a, serial, bytes(40)) + text
    cut = lie.choice([len(message), len(message), len(message), len(message) - 1, 8, 0])
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(lie.choice([0, 0, 0, 1, 4, 200]))]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    client.sendmsg([message[:cut]], rights)
    for file in files:
        os.close(file)


def main():
    # The first rounds get to the requests: they lie about those alone.
    honest_start = lie.random() < 0.7
    client.recv(8192)
    say_ready = HEADER.pack(READY, 0, LAYOUT_VERSION, 0, bytes(40))
    if honest_start:
        client.send(say_ready)
    else:
        say(lie.choice([READY, FAILED, FOUND, lie.getrandbits(32)]), 0, lie.choice(numbers(LAYOUT_VERSION)))
    while question := client.recv(8192):
        serial = HEADER.unpack_from(question)[3]
        for _ in range(lie.choice([0, 1, 1, 1, 2, 12])):
            say(lie.choice([FOUND, FOUND, FAILED, READY, lie.getrandbits(32)]), lie.choice(numbers(serial)), lie.choice(numbers(3)))
        if lie.random() < 0.1:
            break
    time.sleep(lie.choice([0, 0, 100]))


try:
    main()
except OSError:
    pass  # the client has ended this conversation
