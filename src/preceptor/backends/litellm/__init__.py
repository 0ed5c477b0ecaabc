"""Models of other providers, reached through LiteLLM, which is imported only when one is opened."""
