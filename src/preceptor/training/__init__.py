"""Learning from feedback: policies, checkpoints, the RL loop, DPO, SFT and reward models."""
