"""Package repositories of apt, yum and dnf, as data and as files."""
