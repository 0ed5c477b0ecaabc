"""The local backend: a model loaded with transformers, in this process."""
