"""`python -m benchmarks.written_rubrics ABSTRACTS PAIRS --model MODEL`: what a model's rubrics are worth.

First, rubrics for summaries: how many written items stay, and why the others are dropped. ABSTRACTS are rows with
`text` and `summaries`. Second, rubrics that are written from the prompts of PAIRS alone: how often scores by them
prefer what people prefer, beside the same model comparing by one constitution on the same rows. PAIRS are comparisons
with people's labels. Both resume what an earlier call left in `--out`.
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.core.numbers import share
from preceptor.judging.specs import JudgeSpec
from preceptor.results.rubrics import RubricsResult
from preceptor.tasks.audit import audit
from preceptor.tasks.rubrics.audit import audit_rubrics
from preceptor.tasks.rubrics.write import write_rubrics

CONSTITUTION = "helpful"


def summaries(path: Path, count: int) -> list[dict[str, Any]]:
    """Prompts that ask for a summary, with a reference."""
    rows = [json.loads(line) for line in islice(path.open(encoding="utf-8"), count)]
    ask = "Summarise this abstract of a paper in one sentence.\n\n"
    return [{"prompt": ask + row["text"], "reference": row["summaries"][0]} for row in rows]


def labelled(path: Path, count: int) -> list[dict[str, Any]]:
    """Comparisons of different prompts."""
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    return list({json.dumps(row["prompt"]): row for row in reversed(rows)}.values())[::-1][:count]


def show_kept(title: str, result: RubricsResult) -> None:
    """Prints what became of the items."""
    print(f"\n{title}\n{result}\n")
    for item in result.items[:12]:
        print(f"  {item.outcome:15} {item.item.points:+g} {item.item.criterion}")


def compare(rows: list[dict[str, Any]], model: str, rubrics: Path, out: Path) -> None:
    """Prints the agreement of rubrics and of one constitution with people, on the rows whose prompts have a rubric."""
    by_rubric = audit_rubrics(rows, judge=model, rubrics=rubrics, out=out / "by_rubric")
    print(f"\nBy rubrics\n{by_rubric}")
    with_rubric = {
        json.dumps(row["prompt"]) for row in map(json.loads, rubrics.open(encoding="utf-8")) if row.get("rubric")
    }
    same = [row for row in rows if json.dumps(row["prompt"]) in with_rubric]
    by_constitution = audit(same, judges=JudgeSpec(model=model, constitution=CONSTITUTION), out=out / "by_constitution")
    print(f"\nBy one constitution, on the same {len(same)} rows\n{by_constitution}")
    agreements = f"rubrics {share(by_rubric.agreement)}, {CONSTITUTION} {share(by_constitution.judges[0].alignment)}"
    print(f"\nagreement with people: {agreements}")


def main() -> None:
    """Runs both parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.written_rubrics", description=__doc__)
    parser.add_argument("abstracts", type=Path, metavar="ABSTRACTS")
    parser.add_argument("pairs", type=Path, metavar="PAIRS")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, default=Path("written_rubrics"))
    parser.add_argument("--abstracts", dest="count", type=int, default=30, help="how many abstracts")
    parser.add_argument("--pairs", dest="rows", type=int, default=100, help="how many pairs, of different prompts")
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--candidates", type=int, default=4)
    chosen = parser.parse_args()
    settings = {"items": chosen.items, "candidates": chosen.candidates, "max_new_tokens": 96}
    asked = summaries(chosen.abstracts, chosen.count)
    show_kept("Summaries", write_rubrics(asked, model=chosen.model, settings=settings, out=chosen.out / "summaries"))
    rows = labelled(chosen.pairs, chosen.rows)
    prompts = [{"prompt": row["prompt"]} for row in rows]
    written = write_rubrics(prompts, model=chosen.model, settings=settings, out=chosen.out / "prompts")
    show_kept("Prompts alone", written)
    compare(rows, chosen.model, written.path / "rubrics.jsonl", chosen.out)


if __name__ == "__main__":
    main()
