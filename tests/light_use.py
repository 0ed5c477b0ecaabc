"""What the light install must do, without pytest: run as a program, with preceptor from a wheel or from the checkout.

`python tests/light_use.py` runs where the large packages are not installed, as in a fresh environment without extras;
`--forbid` refuses them where they are. It labels, audits, estimates and evaluates, with a scripted judge and with one
behind a server, in a temporary folder, and reads the reports.
"""

import io
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

LARGE = ("torch", "transformers", "safetensors", "gguf", "accelerate", "datasets", "peft", "trl")
COMPARISONS = Path(__file__).parent.parent / "examples" / "comparisons.jsonl"
LABELS = 24
"""Rows of `COMPARISONS`, each with a person's label."""


def forbid(packages: Sequence[str]) -> None:
    """From here on, this process finds none of these packages, as if they were not installed."""

    class Finder(PathFinder):
        @classmethod
        def find_spec(
            cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            return None if fullname.partition(".")[0] in packages else PathFinder.find_spec(fullname, path, target)

    sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]


def preceptor(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in this process."""
    from preceptor.cli.app import main

    out, err, sys.argv = io.StringIO(), io.StringIO(), ["preceptor", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code, out.getvalue(), err.getvalue()
    raise AssertionError("main always ends by SystemExit")


def done(*arguments: str) -> Any:
    """The JSON that a command prints, which must succeed."""
    code, out, err = preceptor(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(*arguments: str) -> str:
    """What a command says that cannot be done."""
    code, out, err = preceptor(*arguments)
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    return err


def responses(path: Path, texts: Sequence[str]) -> str:
    """A file of responses to numbered questions."""
    rows = [{"prompt": f"question {i}", "response": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def use(judge: str) -> None:
    """Labels, audits, estimates and evaluates in the current folder, with one judge."""
    from preceptor import Judge, Preference

    assert isinstance(Judge(judge).compare("Why is the sky blue?", a="Rayleigh scattering.", b="Because."), Preference)
    told = ("--judge", judge)
    labelled = done("label", str(COMPARISONS), *told, "--out", "labels")
    assert labelled["counts"]["preferences"] == LABELS
    assert labelled["ledger"]["calls"] == 2 * LABELS  # in both orders
    audited = done("audit", str(COMPARISONS), *told, "--out", "audit")
    assert [judge["n"] for judge in audited["judges"]] == [LABELS]
    estimated = done("estimate", "labels", "--sample", "random", "--out", "estimate")
    assert (estimated["estimates"]["n_human"], estimated["comparisons"]) == (LABELS, LABELS)
    polite = responses(Path("polite.jsonl"), [f"Here is answer {i}." for i in range(12)])
    curt = responses(Path("curt.jsonl"), ["No."] * 12)
    evaluated = done("evaluate", f"polite={polite}", f"curt={curt}", *told, "--out", "evaluation")
    [win_rate] = [rate for rate in evaluated["win_rates"] if rate["cohort"] is None]
    assert win_rate["wins"] + win_rate["ties"] + win_rate["losses"] == 12
    for folder in ("audit", "evaluation"):
        assert len(Path(folder, "report.html").read_text(encoding="utf-8")) > 10_000


def say_what_is_missing() -> None:
    """Local models and training name the extra that they need, in one line, and write nothing."""
    assert 'pip install "preceptor[local]"' in refused("label", str(COMPARISONS), "--out", "x")  # the default judge
    assert 'pip install "preceptor[train]"' in refused("run", "quickstart", "--out", "x")
    assert 'pip install "preceptor[train]"' in refused("train", "reward", "labels", "--out", "x")
    assert not Path("x").exists()
    assert preceptor("recipes")[0] == preceptor("models")[0] == preceptor("--help")[0] == 0


def main() -> None:
    if "--forbid" in sys.argv:
        forbid(LARGE)
    from backends.fault_server import TABLE, FaultServer, Script

    judge = {**TABLE, "Preferred response:": {" 1": 0.6, " 2": 0.3, "A": 0.1}}
    with tempfile.TemporaryDirectory() as scratch, FaultServer(Script(table=judge)) as server:
        for name, model in (("scripted", "scripted:random"), ("served", f"openai:tiny@{server.url}")):
            folder = Path(scratch, name)
            folder.mkdir()
            with chdir(folder):
                use(model)
        with chdir(scratch):
            say_what_is_missing()
    loaded = sorted(set(LARGE) & sys.modules.keys())
    assert not loaded, loaded
    print("the light install labels, audits, estimates and evaluates")


if __name__ == "__main__":
    main()
