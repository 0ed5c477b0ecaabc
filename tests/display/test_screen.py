"""What a person sees while work is under way: never silence, and an honest guess at how long it will take."""

import io
import re
from itertools import pairwise

import pytest

from preceptor.core.outlook import MEASURING, TRAINING, TRAINING_STAGE, Part
from preceptor.core.ticks import tick
from preceptor.display.pulse import PULSE, Pulse
from preceptor.display.screen import Display
from preceptor.display.terminal import Terminal


class Clock:
    """Seconds that pass only when a test says so, each with a beat; keeps when lines were written."""

    def __init__(self) -> None:
        self.now = 0.0
        self.written = io.StringIO()
        self.console = Terminal(file=self.written, width=200)
        self.pulse = Pulse(lambda: self.now, lambda text: print(text, file=self.written))
        self.spoken = [0.0]
        self.seen = 0

    def pass_(self, seconds: int) -> None:
        for _ in range(seconds):
            self.look()
            self.now += 1.0
            self.pulse.beat()
        self.look()

    def look(self) -> None:
        """Notes the time, if something was written since the last look."""
        if len(self.written.getvalue()) > self.seen:
            self.spoken.append(self.now)
            self.seen = len(self.written.getvalue())

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()

    @property
    def longest_silence(self) -> float:
        return max(later - earlier for earlier, later in pairwise([*self.spoken, self.now]))


def test_silence_is_never_longer_than_ten_seconds_off_a_terminal() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as screen:
        clock.pass_(35)  # before the first stage
        screen.stage("opening the models")
        clock.pass_(37)  # one long piece of work
        screen.stage("labelling")
        for done in range(4):
            clock.pass_(25)
            screen.advance(done + 1, 8, "0 failed")
    clock.pass_(20)  # after the last one, while results are written
    assert clock.longest_silence < 10
    assert "still opening the models: 32 s" in clock.lines
    assert "labelling: 3/8, 25.0 s each, 2:00 left, 0 failed" in clock.lines
    assert clock.lines[-1].startswith("still working")


def test_lines_are_few_where_much_is_done() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as screen:
        screen.stage("labelling")
        for second in range(60):
            clock.pass_(1)
            for fifth in range(5):
                screen.advance(5 * second + fifth + 1, 300)
    assert len(clock.lines) <= 9
    assert clock.lines[-1] == "300/300"


def test_small_pieces_of_a_long_stage_are_told() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as screen:
        screen.stage("measuring before training")
        tick("sampling", 16, 48)
        clock.pass_(9)
        assert clock.lines[-1] == "still measuring before training: 8 s, sampling 16/48"
    tick("sampling", 32, 48)
    clock.pass_(9)
    assert "32/48" not in clock.written.getvalue()


def test_a_long_piece_has_a_rate_and_a_time_left() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as screen:
        screen.stage("labelling")
        clock.pass_(10)
        tick("answers", 4, 12)
        tick("tokens", 64, 256)
        clock.pass_(9)
        assert clock.lines[-1].startswith("still labelling: 16 s, answers 4/12, 2.5 s each, 0:14 left, tokens 64/256")
        tick("tokens", 256, 256)
        screen.advance(16, 64)
        clock.pass_(9)
        assert clock.lines[-1].startswith("labelling: 16/64, 1.2 s each, 0:")
        assert "tokens" not in clock.lines[-1]


def test_a_bar_on_a_terminal_takes_the_place_of_lines() -> None:
    clock = Clock()
    clock.console = Terminal(file=clock.written, force_terminal=True, width=80)
    with Display(clock.console, clock.pulse, lambda: clock.now) as screen:
        screen.stage("labelling")
        clock.pass_(30)
        assert screen.words() is None
    assert "still" not in clock.written.getvalue()


def plan() -> list[Part]:
    """24 held-out prompts, 2 answers to each, 32 tokens; 10 steps of 32 responses, a checkpoint after every 5."""
    return [
        Part("measuring before training", 1, 24 * 2 * 32, MEASURING),
        Part(TRAINING_STAGE, 10, 32 * 32, TRAINING),
        Part("measuring checkpoint", 2, 24 * 32, MEASURING, every=5),
        Part("measuring the chosen checkpoint", 1, 24 * 2 * 32, MEASURING),
    ]


def test_a_run_says_within_its_first_minute_how_long_it_will_take_and_is_right() -> None:
    clock = Clock()
    promised: list[tuple[float, str]] = []
    left: list[float] = []

    def note() -> None:
        promised.extend((clock.now, line) for line in clock.lines if line.endswith("on this machine"))

    # A machine on which a sampled token takes 12 ms: the run then takes what its parts cost there.
    token = 0.012
    cost = {"before": round(2 * 24 * 2 * 32 * token), "step": round(2.7 * 32 * 32 * token)}
    checkpoint = round(2 * 24 * 32 * token)
    whole = 2 * cost["before"] + 10 * cost["step"] + 2 * checkpoint
    with Display(clock.console, clock.pulse, lambda: clock.now) as display:
        display.plan(plan())
        display.stage("measuring before training")
        clock.pass_(round(24 * 2 * 32 * token / 3))
        tick("sampling", 8, 24)
        note()
        clock.pass_(cost["before"] - round(24 * 2 * 32 * token / 3))
        display.stage(TRAINING_STAGE)
        for step in range(1, 11):
            clock.pass_(cost["step"])
            display.step(step, 10, {"reward": 0.5})
            if step % 5 == 0:
                display.stage(f"measuring checkpoint {step}")
                clock.pass_(checkpoint)
                display.stage(TRAINING_STAGE)
            found = re.search(r"(\d+):(\d+) left", [line for line in clock.lines if line.startswith("step ")][-1])
            assert found is not None
            left.append(60 * int(found[1]) + int(found[2]))
        display.stage("measuring the chosen checkpoint, step 10")
        clock.pass_(cost["before"])
    assert promised
    assert promised[0][0] < 60
    assert promised[0][1] == f"about {round((whole - promised[0][0]) / 60)} minutes on this machine"
    assert left == sorted(left, reverse=True)
    assert clock.longest_silence < 10
    assert abs(left[0] - (whole - cost["before"] - cost["step"])) < 0.1 * whole


def test_no_time_left_is_said_where_nothing_was_timed() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as display:
        display.plan(plan())
        display.stage("measuring before training")
        clock.pass_(20)
    assert not any("left" in line or "machine" in line for line in clock.lines)


def _beating() -> list[str]:
    import threading

    return [thread.name for thread in threading.enumerate() if thread.name == "pulse"]


def test_other_processes_of_a_launch_stay_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with PULSE.beating():
        assert _beating() == []


def test_a_display_beats_by_itself_and_once_within_another() -> None:
    clock = Clock()
    with Display(clock.console, PULSE, lambda: clock.now):
        with Display(clock.console, PULSE, lambda: clock.now):
            assert _beating() == ["pulse"]
        assert _beating() == ["pulse"]
    assert _beating() == []


def test_a_hushed_pulse_is_silent() -> None:
    clock = Clock()
    clock.pulse.hush()
    clock.pass_(60)
    assert clock.lines == []


def test_a_stage_that_only_read_what_an_earlier_process_did_predicts_nothing() -> None:
    clock = Clock()
    with Display(clock.console, clock.pulse, lambda: clock.now) as display:
        display.plan(plan())
        display.stage("measuring before training")
        clock.pass_(1)
        display.stage(TRAINING_STAGE)
        clock.pass_(20)
        assert not any("left" in line for line in clock.lines)
        display.step(1, 10, {})
    # 9 steps of 20 s; 2 checkpoints of 768 tokens and the last look's 1536, each 2 / 2.7 of a trained token: 224 s.
    assert clock.lines[-1] == "about 4 minutes on this machine"
