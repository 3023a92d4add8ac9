"""The lifecycle of a worker: inspects it, evaluates its state, acts on it."""
