#!/usr/bin/env python3
print("hello, this is no shell (")
