"""The shared base: files, paths, programs with time limits, systemd, the console."""
