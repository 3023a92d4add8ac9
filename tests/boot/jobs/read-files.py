#!/usr/bin/python3
"""A job that asked for 512 MiB of memory and reads 3 GiB of files twice, a block at a time.

What it has read stays in the kernel's cache as long as there is room, and is charged to the job's
control group; it is not the job's memory. The file has no blocks on the disk, but its pages are cached
like any other's. It is removed at the end, or HTCondor would transfer it as output.
"""

from pathlib import Path

SIZE, BLOCK = 3 << 30, 1 << 20

with Path("large").open("wb") as file:
    file.truncate(SIZE)
read = 0
for _ in range(2):
    with Path("large").open("rb") as file:
        while True:
            block = file.read(BLOCK)
            if not block:
                break
            read += len(block)
Path("large").unlink()
print(read)
