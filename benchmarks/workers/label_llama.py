"""A llama.cpp server: `python -m benchmarks.workers.label_llama MODEL.gguf NAME PORT THREADS SLOTS WINDOW FOLDER`."""

# pyright: reportMissingImports=false

import sys
import threading

import xllamacpp


def main() -> None:
    """Serves until the process is ended."""
    path, name, port, threads, slots, window, folder = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {name}
    params.port = int(port)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.n_parallel = int(slots)
    params.n_ctx = int(window) * int(slots)
    params.n_gpu_layers = 0
    params.slot_save_path = folder  # without one, slots cannot be erased
    params.cache_ram_mib = 0  # prompts of an earlier repetition must not be cached
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
