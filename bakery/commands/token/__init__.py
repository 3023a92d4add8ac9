"""worker-bakery token and its subcommands."""
