"""TRL's trainers as the second engine: the same recipes, with preceptor's rewards, checkpoints, measures and report."""
