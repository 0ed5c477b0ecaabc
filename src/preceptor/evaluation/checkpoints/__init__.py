"""Measurements of a policy during training: snapshots, the choice of a checkpoint, sweeps."""
