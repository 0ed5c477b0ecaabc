"""The paper's policies: fine-tuned, trained in each way, asked and compared, each once for all tables."""
