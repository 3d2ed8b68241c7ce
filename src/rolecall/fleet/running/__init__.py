"""How a run is done: by threads here, or by workers of an executor."""
