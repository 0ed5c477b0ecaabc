"""Files of RewardBench and AlpacaEval, judged by a model: results in the form of either benchmark.

python examples/benchmark_files.py [MODEL]
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import preceptor as pc
from preceptor.integrations import alpaca_eval, rewardbench

QUESTION, GOOD, BAD = "Why is the sky blue?", "Air scatters blue light more than red light.", "Because."


def main(model: str = "embedded") -> None:
    """Writes a row for each benchmark, judges it and prints the results."""
    judge = pc.Judge(model)
    with TemporaryDirectory() as name:
        folder = Path(name)
        row = {"id": 1, "prompt": QUESTION, "chosen": GOOD, "rejected": BAD, "subset": "alpacaeval-easy"}
        (folder / "filtered.jsonl").write_text(json.dumps(row))
        labels = pc.label(rewardbench.comparisons(folder / "filtered.jsonl"), judges=[judge], out=folder / "one")
        print(rewardbench.write_results(labels, folder, "example/judge").read_text())

        for generator, output in (("reference", BAD), ("model", GOOD)):
            said = [{"instruction": QUESTION, "output": output, "generator": generator}]
            (folder / f"{generator}.json").write_text(json.dumps(said))
        rows = alpaca_eval.comparisons(folder / "reference.json", folder / "model.json")
        labels = pc.label(rows, judges=[judge], out=folder / "two")
        print(alpaca_eval.write_annotations(labels, folder).read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
