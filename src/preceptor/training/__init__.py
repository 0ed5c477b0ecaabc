"""Learning from feedback: policies, checkpoints and the RL loop."""
