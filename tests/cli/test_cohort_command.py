"""`preceptor cohort` as a person meets it."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from preceptor.cli.cohort import cohort
from preceptor.core.errors import UsageError

EXAMPLE = str(Path(__file__).parent.parent.parent / "examples" / "traces.json")
app = typer.Typer()
app.command()(cohort)


def test_the_table_says_what_was_done_and_what_masking_misses(tmp_path: Path) -> None:
    out = tmp_path / "cohort.jsonl"
    done = CliRunner().invoke(app, [EXAMPLE, "--out", str(out), "--failures-first", "--limit", "5"])
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    for words in (
        "calls without content 1",
        "left out by the limit 2",
        "prompts added 5, 5 of them with signs of failure",
        "negative feedback 1",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "names, postal addresses and dates of birth are not masked",
        "5 prompts in",
    ):
        assert words in told
    assert len(out.read_text().splitlines()) == 5


def test_json_on_standard_output_alone(tmp_path: Path) -> None:
    out = tmp_path / "cohort.jsonl"
    done = CliRunner().invoke(app, [EXAMPLE, EXAMPLE, "--out", str(out), "--cohort", "shop", "--no-mask", "--json"])
    result = json.loads(done.stdout)
    assert (result["added"], result["prompts"], result["cohort"], result["masked"]) == (7, 7, "shop", None)
    assert "jo.doe@example.com" in out.read_text()


def test_a_cohort_has_a_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [EXAMPLE, "--out", str(tmp_path / "c.jsonl"), "--cohort", ""])
    assert isinstance(done.exception, UsageError)
