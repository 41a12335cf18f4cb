"""What surrounds a model: optimizers, replays of its lineage, files."""
