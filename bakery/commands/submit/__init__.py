"""worker-bakery bake --submit: a bake on an HTCondor pool."""
