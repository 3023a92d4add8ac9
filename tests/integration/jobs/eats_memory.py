"""Takes and touches 600 MiB, then waits to be noticed."""

import time

taken = b"x" * (600 << 20)
time.sleep(1000)
