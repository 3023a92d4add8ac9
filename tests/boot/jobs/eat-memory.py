#!/usr/bin/python3
"""A job that asked for 64 MiB of memory and takes ever more, and uses it.

It stops at 1.5 GiB, so that a worker without limits does not take the build machine along, and
then keeps what it has.
"""

import time

MIB = 1 << 20

print("started", flush=True)
taken = bytearray()
while len(taken) < 1536 * MIB:
    taken += b"x" * (16 * MIB)
    time.sleep(0.02)
time.sleep(240)
print("nobody stopped me")
