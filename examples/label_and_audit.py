"""Label comparisons, measure the judge against people, and estimate what people would say. A minute on a laptop.

    python examples/label_and_audit.py [MODEL]

The comparisons in `examples/comparisons.jsonl` hold what people think. The judge is the embedded model, or the one that
is named, such as openai:gpt-4o-mini.
"""

import json
import sys
from pathlib import Path

import preceptor as pc

COMPARISONS = Path(__file__).parent / "comparisons.jsonl"
LABELLED_BY_PEOPLE = 12


def main(model: str) -> None:
    """Prints the labels, the audit and the estimate."""
    lines = COMPARISONS.read_text(encoding="utf-8").splitlines()
    people = [{"id": str(number), **json.loads(line)} for number, line in enumerate(lines)]
    unlabelled = [{name: value for name, value in row.items() if name != "label"} for row in people]
    judge = pc.Judge(model, constitution="helpful")

    labels = pc.label(unlabelled, judges=[judge])
    print(labels)  # reasons to distrust the judge come first

    audit = pc.audit(people, judges=[judge, pc.Judge("scripted:random")])
    print(audit)

    # The first rows stand for a random sample here. In earnest, let `estimate(labels.path, plan=N)` draw it.
    print(pc.estimate(labels.path, people=people[:LABELLED_BY_PEOPLE], sample="random"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded")
