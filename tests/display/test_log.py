"""The log of a task: a line with the time for each event, and nothing that must not be in it."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.core.outlook import TRAINING_STAGE
from preceptor.core.progress import Silence
from preceptor.core.secrets import without_secret
from preceptor.display.log import FILE, LONGEST, logged, source
from small import Told


def lines(folder: Path) -> list[str]:
    """The events, without their times."""
    text = (folder / FILE).read_text()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ ", line) for line in text.splitlines())
    return [line.split(" ", 1)[1] for line in text.splitlines()]


def test_every_event_is_a_line_and_is_passed_on(tmp_path: Path) -> None:
    listener = Told()
    with logged(tmp_path, "run", {"seed": 1, "out": tmp_path}, listener, lambda: "3 calls") as progress:
        progress.stage("loading the models")
        progress.stage(TRAINING_STAGE)
        progress.step(1, 2, {"reward": 0.25, "kl": None})
        progress.measured(1, {"heldout_score": 0.5})
        progress.note("two prompts are skipped")
    assert listener.steps == [1]
    assert listener.measured_at == [1]
    assert listener.notes == ["two prompts are skipped"]
    begun, *events = lines(tmp_path)
    assert re.fullmatch(rf'INFO run begun by preceptor \d+\.\d+\S*: {{"seed": 1, "out": "{tmp_path}"}}', begun)
    assert events == [
        "INFO loading the models",
        "INFO step 1/2: reward 0.25",
        "INFO measured step 1: heldout_score 0.5",
        "WARNING two prompts are skipped",
        "INFO 3 calls",
        "INFO run done in 0 s",
    ]


def test_counted_work_is_logged_after_every_tenth(tmp_path: Path) -> None:
    with logged(tmp_path, "label", {}, Silence()) as progress:
        for stage in ("labelling", "writing"):
            progress.stage(stage)
            for done in range(1, 101):
                progress.advance(done, 100, "0 failed")
    events = lines(tmp_path)
    assert sum(" 0 failed" in line for line in events) == 20
    assert "INFO 10/100, 0 failed" in events


def test_how_it_ends_is_logged_and_resumed_work_appends(tmp_path: Path) -> None:
    with pytest.raises(PreceptorError), logged(tmp_path, "label", {}, Silence(), lambda: "1 call"):
        raise PreceptorError("the budget is spent")
    with pytest.raises(KeyboardInterrupt), logged(tmp_path, "label", {}, Silence()):
        raise KeyboardInterrupt
    endings = [line for line in lines(tmp_path) if "begun" not in line]
    assert endings == [
        "INFO 1 call",
        "ERROR label failed after 0 s: the budget is spent",
        "WARNING label interrupted after 0 s",
    ]


def test_no_key_and_little_of_what_models_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "sk-secret")
    with logged(tmp_path, "label", {"model": "openai:x@http://sk-secret.example"}, Silence()) as progress:
        progress.note("refused: sk-secret, the model wrote:\n" + 500 * "x\x1b[2J")
    text = (tmp_path / FILE).read_text()
    assert "secret" not in text
    assert "\x1b" not in text
    assert len(lines(tmp_path)) == 3
    assert max(len(line.split(" ", 1)[1]) for line in lines(tmp_path)[1:]) <= LONGEST


KEY = "sk'\"\\%/+&<k>"
"""A key with a character for each way of escaping."""


@pytest.mark.parametrize(
    "quoted",
    [
        str,
        repr,
        json.dumps,
        quote_plus,
        lambda key: quote(key, safe="/").lower(),
        lambda key: quote(quote(key, safe=""), safe=""),
        lambda key: json.dumps({"error": json.dumps(key)}),
        lambda key: repr({"error": json.dumps(key)}),
        lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    ],
    ids=["plain", "repr", "JSON", "form", "URL", "URL twice", "JSON twice", "repr of JSON", "JSON by numbers"],
)
def test_no_key_in_any_form(quoted: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with (
        pytest.raises(PreceptorError),
        logged(tmp_path, "label", {"connection": quoted(KEY)}, Silence(), lambda: quoted(KEY)) as progress,
    ):
        progress.stage(quoted(KEY))
        progress.note(f"before {quoted(KEY)} after")
        raise PreceptorError(quoted(KEY))
    written = (tmp_path / FILE).read_text()
    assert written.count("***") == 5
    assert "before" in written
    assert "sk" not in written.lower().replace("\\", "")
    assert "k%3e" not in written.lower()
    assert "u0073" not in written


def test_a_placeholder_for_a_key_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "label")
    with logged(tmp_path, "label", {}, Silence()):
        pass
    assert "INFO label done in 0 s" in lines(tmp_path)


def test_a_long_text_is_searched_for_keys_in_time() -> None:
    assert without_secret("\\" * 200_000, KEY) == "\\" * 200_000


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with logged(tmp_path / "nowhere", "label", {}, Silence()) as progress:
        progress.note("still at work")
    assert not (tmp_path / "nowhere").exists()


def test_who_listens_to_the_logger_hears_each_event_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "labels").mkdir()
    with (
        caplog.at_level(logging.INFO, "preceptor"),
        logged(tmp_path, "run", {}, Silence()) as run,
        logged(tmp_path / "labels", "label", {}, run) as label,
    ):
        label.stage("labelling")
    assert caplog.messages.count("labelling") == 1
    assert "INFO labelling" in lines(tmp_path)
    assert "INFO labelling" in lines(tmp_path / "labels")


def test_nothing_is_printed_unless_somebody_listens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logged(tmp_path, "run", {}, Silence()) as progress:
        progress.note("a note")
    assert capfd.readouterr() == ("", "")


def test_rows_in_memory_are_named_by_their_kind(tmp_path: Path) -> None:
    assert source(tmp_path / "a.jsonl") == str(tmp_path / "a.jsonl")
    assert source([{"prompt": "private"}]) == "list"
