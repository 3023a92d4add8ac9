#!/usr/bin/python3
"""A job whose processes never end, and of which it always makes one more.

It stops at 3000, so that a worker without limits does not take the build machine along, and then
waits with them.
"""

import os
import time

print("started", flush=True)
for made in range(3000):
    try:
        child = os.fork()
    except OSError as error:
        print("refused after", made, error)
        break
    if child == 0:
        os.execv("/bin/sleep", ["sleep-of-a-fork", "240"])
else:
    time.sleep(240)
    print("nobody stopped me")
