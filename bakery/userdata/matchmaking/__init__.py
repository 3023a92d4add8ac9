"""Which jobs a Start takes, asked of HTCondor's ClassAd library with sample jobs and a sample worker."""
