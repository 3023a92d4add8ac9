"""Find out what a shell script writes to files, without running it."""
