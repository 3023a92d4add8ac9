"""What all commands share: parsers, settings, errors and exit codes, completion, manual pages."""
