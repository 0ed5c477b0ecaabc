"""Models behind any server that speaks the OpenAI API: vLLM, llama.cpp, Ollama, hosted ones."""
