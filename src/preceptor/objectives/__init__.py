"""Pure mathematics on tensors: log-probabilities, advantages, policy-gradient losses. Shapes are checked on entry."""
