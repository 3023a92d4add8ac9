"""Does nothing, and for long."""

import time

time.sleep(1000)
