"""Find out with HTCondor's ClassAd library which jobs a Start accepts."""
