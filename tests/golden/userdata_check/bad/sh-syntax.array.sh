#!/bin/sh
hosts=(a b)
echo "$hosts" >/dev/null
