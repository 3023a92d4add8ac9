"""Leaves a process in a session of its own, which outlives its parents and holds none of its files."""

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for file in range(3):
            os.close(file)
        time.sleep(1000)
    os._exit(0)
time.sleep(3)
