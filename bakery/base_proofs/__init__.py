"""What was shown of bases: written by `worker-bakery bases --prove`, listed by `worker-bakery bases`."""
