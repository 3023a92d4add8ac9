"""worker-bakery fleet: launch, list and delete workers on an OpenStack cloud."""
