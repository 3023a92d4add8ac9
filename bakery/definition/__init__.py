"""Definition files: images of a site, written in TOML."""
