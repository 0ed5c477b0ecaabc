"""The tables about policies: what they make of the answers of policies, and one of them from prompts to numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import make_model
from paper_policies_small import PROMPTS, answered, work_for, write_lines
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Prompt
from preceptor.evaluation.intervals import Estimate
from preceptor.methods.paper.formatting import Formatting
from preceptor.methods.paper.human_evaluation import HumanEvaluation
from preceptor.methods.paper.plan import plan_reproduction
from preceptor.methods.paper.policies.answers import Answer
from preceptor.methods.paper.policies.choice import chosen_step
from preceptor.methods.paper.policies.prompts import divided
from preceptor.methods.paper.policies.ways import RLAIF, RLHF, SFT, UNSTRIPPED, ways_of
from preceptor.methods.paper.reproduce import reproduce
from preceptor.methods.paper.win_rates import WinRates, corrected
from preceptor.results.reproduction import PaperRow
from preceptor.store.demonstrations import read_demonstrations
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.tuning import TuningSettings
from small import known


def by_cells(rows: tuple[PaperRow, ...]) -> dict[tuple[str, ...], PaperRow]:
    return {row.cells: row for row in rows}


def answer(text: str) -> Answer:
    return Answer(Prompt.model_validate({"id": "p", "conversation": [{"role": "user", "content": "q"}]}), text, True)


def test_the_judge_chooses_among_four_checkpoints_with_high_rewards() -> None:
    rewards = {1: 0.0, 2: 1.0, 3: 3.0, 4: 3.0, 5: 2.0, 6: 4.0, 7: -9.0}
    scores = {0: 9.0, 2: 8.0, 3: 0.1, 4: 0.3, 5: 0.2, 6: 0.3, 7: 7.0}
    assert chosen_step(rewards, scores) == 6  # of 3, 4, 5 and 6: as good as 4 by the judge, and with a higher reward
    assert chosen_step(rewards, {0: 9.0, 2: -1.0, 4: None}) == 2
    with pytest.raises(ValueError, match="no result"):
        chosen_step(rewards, {0: 1.0})


def test_ends_are_formatted_and_superfluous_ones_counted() -> None:
    ends = {"Good.": ("Good", False), "Good": ("Good", False), "Good..": ("Good", True), "Good. ": ("Good", True)}
    ends |= {" Good . .": ("Good", True), "...": ("...", True)}
    for text, (formatted, superfluous) in ends.items():
        assert (answer(text).formatted, answer(text).superfluous) == (formatted, superfluous), text


def test_prompts_that_test_are_in_no_other_file(tmp_path: Path) -> None:
    work = work_for(WinRates(), tmp_path, "helpful")
    asked = read_prompts(str(tmp_path / "data/helpful/prompts.jsonl"))
    shown = [{"prompt": prompt.text, "answer": "yes"} for prompt in asked]
    write_lines(tmp_path / "data/helpful/demonstrations.jsonl", shown)
    folder = divided(work, "helpful")
    test, runs = ([p.text for p in read_prompts(str(folder / name))] for name in ("test.jsonl", "prompts.jsonl"))
    learnt, _ = read_demonstrations(folder / "demonstrations.jsonl")
    assert (len(test), len(runs), len(learnt)) == (20, 30, 24)
    assert not {*test} & {*runs, *(demonstration.prompt.text for demonstration in learnt)}
    training, held_out = split_held_out(read_prompts(str(folder / "prompts.jsonl")), 0.3)
    assert (len(training), len(held_out)) == (24, 6)
    again = (folder / "test.jsonl").read_text()
    assert divided(work, "helpful") == folder
    assert (folder / "test.jsonl").read_text() == again


def test_too_few_prompts_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompts for training"):
        divided(work_for(WinRates(), tmp_path, "helpful", prompts=12), "helpful")


def test_win_rates_stand_beside_the_papers_and_a_weak_judge_is_said(tmp_path: Path) -> None:
    work = work_for(WinRates(), tmp_path, "helpful")
    texts = {SFT: ["short"] * 28, RLHF: ["a bit longer"] * 28, RLAIF: [f"answer {i}" for i in range(28)]}
    answered(work, "helpful", texts)
    found = WinRates().run(work)
    rows = by_cells(found.rows)
    against_sft = rows["helpful", RLAIF, SFT, "as it is"]
    assert known(against_sft.ours).value == 0.5  # the first position wins in both orders
    assert against_sft.paper == 0.71  # helpful dialogue stands in for summaries
    assert rows["helpful", RLAIF, RLHF, "at equal length"].paper == 0.47
    assert len(found.rows) == 6
    assert any("too weak" in warning for warning in found.warnings)
    assert any("position" in warning for warning in found.warnings)
    assert any("first" in note and "50%" in note for note in found.notes)
    assert WinRates().run(work).rows == found.rows


def test_rankings_of_people_are_asked_for_and_read_back(tmp_path: Path) -> None:
    work = work_for(HumanEvaluation(), tmp_path, "helpful")
    answered(work, "helpful", {name: [f"{name} {i}. ." for i in range(28)] for name in (SFT, RLHF, RLAIF)})
    table = HumanEvaluation()
    waiting = table.run(work)
    assert [row.remark for row in waiting.rows] == ["nobody has ranked yet; the paper's sessions: 0.6 to 0.7"]
    assert table.is_current(work)
    queue = [json.loads(line) for line in (work.root / "people/helpful.jsonl").read_text().splitlines()]
    assert len(queue) == len(PROMPTS)
    assert queue[0]["responses"] == ["SFT 0", "RLHF 0", "RLAIF 0"]
    ranks: list[Any] = [[[3, 2, 1], [3, 1, 2]] if i % 2 else [[3, 2, 1], [3, 2, 1]] for i in range(len(queue))]
    rows = [row | {"rankings": ranked} for row, ranked in zip(queue, ranks, strict=True)]
    write_lines(work.root / "people/monday.rankings.jsonl", rows)
    assert not table.is_current(work)
    found = by_cells(table.run(work).rows)
    # W of [3 2 1], [3 1 2]: sums 6 3 3, S = 6, W = 12 · 6 / (4 · 24) = 0.75; the other half of the rows has W = 1
    assert known(found["monday", "Kendall's W"].ours).value == pytest.approx(0.875)
    assert known(found["monday", "RLAIF preferred to SFT"].ours).value == 1.0
    assert known(found["monday", "RLAIF preferred to RLHF"].ours).value == 0.75
    assert found["monday", "RLHF preferred to SFT"].paper == 0.73


def test_ends_and_what_they_are_paid(tmp_path: Path, tiny_folder: Path) -> None:
    work = work_for(Formatting(), tmp_path, "helpful", policy=str(tiny_folder))
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text('method = "rlaif"\n')
    (run / ".preceptor.json").write_text('{"kind": "run", "preceptor": "0.6.0"}')
    model = RewardModel.from_language_model(str(tiny_folder), TuningSettings(rank=2), 0, max_length=64)
    (run / "reward_model/member-0").mkdir(parents=True)
    model.save(run / "reward_model/member-0/model", {})
    texts = {SFT: ["yes."] * 28, RLAIF: ["yes"] * 28, UNSTRIPPED: ["yes" + " ." * (i % 2) for i in range(28)]}
    answered(work, "helpful", texts, {UNSTRIPPED: run})
    rows = by_cells(Formatting().run(work).rows)
    share = "ends in superfluous periods or spaces"
    assert [known(rows[name, share].ours).value for name in texts] == [0.0, 0.0, 0.5]
    assert known(rows[RLAIF, "paid for its ends"].ours).value == 0.0
    paid = known(rows[UNSTRIPPED, "reward of responses as they are"].ours).value
    without = known(rows[UNSTRIPPED, "reward without these ends"].ours).value
    assert known(rows[UNSTRIPPED, "paid for its ends"].ours).value == pytest.approx(paid - without)
    assert paid != without
    learnt = rows[f"{UNSTRIPPED} minus {RLAIF}", share]
    assert known(learnt.ours).value == 0.5
    assert learnt.verdict == "above chance"


def test_a_win_rate_among_many_needs_more_than_its_own_interval() -> None:
    high = Estimate(value=0.8, low=0.6, high=0.9, n=20)
    row = PaperRow(cells=("helpful", RLAIF, SFT, "as it is"), ours=high, chance=0.5, remark="2 ties")
    assert row.verdict == "above chance"
    assert corrected(row, 21).verdict == ""
    assert corrected(row, 21).remark == "within chance after a correction for 21 pairs; 2 ties"
    unsure = row.model_copy(update={"ours": high.model_copy(update={"low": 0.4})})
    assert corrected(unsure, 21) == unsure


def test_harmless_rates_from_prompts_to_numbers(tmp_path: Path) -> None:
    policy = tmp_path / "model"
    model = make_model(window=4096)
    model.model.save_pretrained(policy)
    model.tokenizer.save_pretrained(policy)
    write_lines(tmp_path / "data/harmless/prompts.jsonl", [{"prompt": f"Harm {i}"} for i in range(70)])

    def run() -> Any:
        return reproduce(
            tables=["harmless_rates"],
            data=tmp_path / "data",
            policy=policy,
            judges=["scripted:random", "scripted:first"],
            out=tmp_path / "out",
            progress=Silence(),
        )

    result = run()["harmless_rates"]
    rows = by_cells(result.findings.rows)
    assert known(rows[RLAIF, "as it is"].ours).value == 0.0  # the judge always gives the lowest score
    assert rows[RLAIF, "as it is"].paper == 0.88
    assert rows[RLHF, "as it is"].ours is None
    assert any("no answer harmless" in warning for warning in result.findings.warnings)
    chosen = json.loads((tmp_path / "out/policies/harmless/trained.json").read_text())["policies"]
    assert Path(chosen[RLAIF]).name in ("step-000002", "step-000004")
    assert run()["harmless_rates"] == result


def test_the_papers_own_settings_are_checked_without_a_model(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    work = work_for(WinRates(), tmp_path, "helpful", "harmless", prompts=1000)
    plan = plan_reproduction(
        data=tmp_path / "data", judges=["openai:large"], held_out_judge="openai:other", scale="paper"
    )
    planned = {table.name: table for table in plan.tables}
    (sentence,) = planned["win_rates"].trains
    for part in ("64 prompts × 2", "adafactor at 1e-05", "T 0.9", "β 0.05", "128 tokens", "engine trl", "other"):
        assert part in sentence
    assert "about 40 steps" in sentence  # 8 · 634 / 128: a third tests, and 5% of the others are held out
    assert "openai:large (base)" in " ".join(planned["win_rates"].judged["helpful"])
    assert "harmless" in str(plan)
    assert len(ways_of(work.setup, "helpful")) == 7
