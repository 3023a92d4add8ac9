"""The part of the command bake that concerns definition files; imported only if one is given."""
