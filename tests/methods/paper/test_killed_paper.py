"""A reproduction that is killed (SIGKILL) between two tables, while a model is loaded, ends as an uninterrupted one."""

import signal
from pathlib import Path

from killing import calls, drive
from paper_small import write_preferences
from preceptor.core.progress import Silence
from preceptor.methods.paper.reproduce import reproduce

TABLES = ("position_bias", "reward_accuracy")


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, tiny_folder: Path) -> None:
    data, cut = write_preferences(tmp_path / "data", "helpful"), tmp_path / "cut"
    named = ("--data", str(data), "--policy", str(tiny_folder), "--judge", "scripted:random", "--out", str(cut))
    killed = drive("load", 1, "reproduce", "rlaif-paper", *TABLES, *named)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (cut / "tables/position_bias/table.json").exists()
    assert '"to come"' in (cut / "reproduction.json").read_text()

    def run(out: Path) -> list[object]:
        result = reproduce(
            tables=TABLES, data=data, policy=tiny_folder, judges="scripted:random", out=out, progress=Silence()
        )
        return [table.findings for table in result.tables]

    assert run(cut) == run(tmp_path / "whole")
    assert calls(cut / "audits/helpful") == calls(tmp_path / "whole/audits/helpful")
