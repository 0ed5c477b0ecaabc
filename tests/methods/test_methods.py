"""Every method from end to end: the tiny random model, scripted judges, a run of seconds."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from conftest import make_model
from preceptor.core.errors import CheckpointError, UsageError
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.best_of_n_rows import best_of_n_rows
from preceptor.store.files import read_rows
from small import JUDGE, RL, WORDS, Told, demonstrations, known, people, shared

CANDIDATES = ["preferences.max_new_tokens=6"]
REWARD_MODEL = ["reward_model.batch_size=4", "reward_model.epochs=1", "reward_model.held_out_share=0.3"]
DPO = ["dpo.batch_size=4", "dpo.epochs=1"]
FINE_TUNING = ["fine_tuning.batch_size=4", "fine_tuning.epochs=1", "fine_tuning.gradient_accumulation_steps=1"]
SFT = ["sft.batch_size=4", "sft.epochs=1"]
ONE_PART = "rl.gradient_accumulation_steps=1"

Run = tuple[RunDirectory, RunSummary, Told]
Runner = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Path) -> Runner:
    """Runs a shipped recipe, small, with overrides."""

    def runner(recipe: str, *overrides: str, name: str = "run", merge: bool = False) -> Run:
        listed = [*shared(tmp_path, tiny_folder), *overrides]
        directory = RunDirectory.create(tmp_path / name, load_recipe(recipe, listed))
        told = Told()
        summary = execute(directory, told, merge=merge)
        assert json.loads((directory.path / "summary.json").read_text()) == summary.model_dump(mode="json")
        assert not list(directory.path.rglob("*.partial"))
        return directory, summary, told

    return runner


def report(directory: RunDirectory) -> str:
    return directory.report.read_text(encoding="utf-8")


def test_rlaif_labels_learns_a_reward_model_and_is_rewarded_by_it(run: Runner) -> None:
    half = "reward_model.held_out_share=0.5"
    directory, summary, told = run("rlaif", *JUDGE, *RL, ONE_PART, *CANDIDATES, *REWARD_MODEL, half)
    training = summary.prompts.training
    assert summary.method == "RLAIF"
    assert known(summary.labels).counts.preferences + known(summary.labels).counts.failures == training
    assert known(summary.preferences).by_source == {"ai": known(summary.preferences).pairs}
    model = known(summary.reward_model)
    assert model.training_pairs + model.held_out_pairs == known(summary.preferences).pairs
    assert 0.0 <= known(known(model.accuracy).accuracy).value <= 1.0
    assert AutoModelForSequenceClassification.from_pretrained(directory.path / "reward_model/member-0/model")
    assert AutoModelForCausalLM.from_pretrained(directory.best)
    assert told.steps[-5:] == [1, 2, 3, 4, 5]
    assert {"prompts", "labels", "reward_model", "training", "measuring"} <= set(summary.stages)
    # The constitution has a [score] table, so that the judge measures too.
    assert summary.judge_score_is == "judge's score (expectation)"
    assert summary.judge_calls > known(summary.labels).ledger.calls - 2 * training
    assert summary.calls["policy"].calls == 2 * training
    page = report(directory)
    assert "A reward model learnt these preferences." in page
    assert "preferences, 0 failures" in page
    held_out = {
        row["prompt_id"] for row in json.loads((directory.path / "evaluations/before.json").read_text())["responses"]
    }
    assert not held_out & {str(row["id"]) for row in read_rows(directory.path / "labels/prompts.jsonl")}


def test_rlhf_has_no_judge_anywhere(run: Runner, tmp_path: Path) -> None:
    directory, summary, _ = run("rlhf", people(tmp_path), *RL, ONE_PART, *REWARD_MODEL)
    assert summary.judge is None
    assert summary.judge_calls == 0
    assert summary.labels is None
    assert known(summary.preferences).by_source == {"human": known(summary.preferences).pairs}
    assert known(summary.preferences).left_out == {"its prompt is held out": summary.prompts.held_out}
    assert summary.judge_score_is == "reward model's reward"
    page = report(directory)
    assert "The judge</h2>" not in page
    assert "A judge" not in page
    assert "Reward model&#39;s reward" in page
    card = (directory.best / "README.md").read_text()
    assert "People had compared responses." in card
    assert "Judge:" not in card


def test_trajectories_that_a_judge_labelled_are_learned_by_dpo(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}]}
    acted = [call, {"role": "tool", "tool_call_id": "1", "content": "no"}, {"role": "assistant", "content": "done"}]
    rows = [
        {
            "prompt": f"{verb} {word}",
            "chosen": acted,
            "rejected": [{"role": "assistant", "content": word}],
            "p_chosen": 0.9,
        }
        for verb in ("Name", "Say")
        for word in WORDS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["preferences.ai=false", f'preferences.labelled=["{path}"]']
    directory, summary, _ = run("dpo", *files, "dpo.batch_size=16", "dpo.epochs=1", "evaluation.checkpoint_every=100")
    preferences = known(summary.preferences)
    assert preferences.by_source == {"ai": preferences.pairs}
    assert preferences.left_out == {"its prompt is held out": summary.prompts.held_out}
    assert "labelled preferences" in json.loads((directory.path / "inputs.json").read_text())
    metrics: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert sum(row["pairs"] for row in metrics) == preferences.pairs
    assert metrics[0]["chosen_log_prob"] < metrics[0]["rejected_log_prob"]
    assert "A judge had compared responses before the run." in (directory.best / "README.md").read_text()


def test_people_and_judge_together_and_several_reward_models(run: Runner, tmp_path: Path) -> None:
    more = ["reward_model.members=2", "reward_model.pessimism=0.5", "preferences.human_weight=2.0"]
    directory, summary, _ = run(
        "rlhf_rlaif", people(tmp_path), *JUDGE, *RL, "rl.steps=2", ONE_PART, *CANDIDATES, *REWARD_MODEL, *more
    )
    assert set(known(summary.preferences).by_source) == {"ai", "human"}
    assert known(summary.reward_model).members == 2
    assert len(known(known(summary.reward_model).offsets)) == 2
    assert (directory.path / "reward_model/member-1/model/manifest.json").exists()
    assert "2 members" in report(directory)


def test_a_soup_of_reward_models_is_asked_as_one_model(run: Runner, tmp_path: Path) -> None:
    more = ["reward_model.members=2", "reward_model.combine=soup", "reward_model.length_debiased=true"]
    directory, summary, _ = run("rlhf", people(tmp_path), *RL, "rl.steps=1", ONE_PART, *REWARD_MODEL, *more)
    model = known(summary.reward_model)
    assert (model.members, model.combine, model.offsets) == (2, "soup", None)
    assert model.length_correlation is not None
    assert [member.length_correlation for member in model.trained] == [None, None]
    assert (directory.path / "reward_model/soup/model/manifest.json").exists()
    assert "a soup of 2 members" in report(directory)
    assert "length taken out" in report(directory)


def test_dpo_learns_the_same_preferences(run: Runner) -> None:
    directory, summary, told = run("dpo", *JUDGE, *CANDIDATES, *DPO, "dpo.gradient_accumulation_steps=1", merge=True)
    rows = read_rows(directory.path / "metrics.jsonl")
    assert len(rows) == summary.steps == told.steps[-1]
    assert {"accuracy", "margin", "loss"} <= rows[0].keys()
    assert summary.reward_model is None
    assert "DPO with β = 0.1 and soft labels" in report(directory)
    assert AutoModelForCausalLM.from_pretrained(directory.merged)


def test_kto_learns_responses_that_were_scored_by_themselves(run: Runner, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{verb} {word}", "response": word * times, "score": 3 * times}
        for verb in ("Name", "Say")
        for word in WORDS
        for times in (1, 2)
    ]
    path = tmp_path / "scored.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["preferences.ai=false", f'preferences.unpaired=["{path}"]', "preferences.threshold=5"]
    learning = ["dpo.kind=kto", "dpo.batch_size=8", "dpo.epochs=1"]
    measuring = ["evaluation.checkpoint_every=100", "evaluation.max_new_tokens=4"]
    directory, summary, _ = run("dpo", *files, *learning, *measuring)
    stage = summary.own_stages["unpaired"]
    assert stage["responses"] == len(rows) - 2 * summary.prompts.held_out
    assert stage["desirable"] == len(rows) / 2 - summary.prompts.held_out
    assert summary.preferences is None
    assert summary.steps == math.ceil((len(rows) - 2 * summary.prompts.held_out) / 16)
    metrics: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert len(metrics) == summary.steps
    assert metrics[0]["loss"] == pytest.approx(0.5, abs=1e-4)
    page = report(directory)
    assert "by KTO with" in page
    assert "at least 5" in page
    assert f"{stage['desirable']} of them desirable" in page


def test_sft_learns_demonstrations_and_is_measured_against_what_it_was(run: Runner, tmp_path: Path) -> None:
    directory, summary, _ = run("sft", demonstrations(tmp_path), *SFT, "evaluation.bounds.max_kl=1e-6", merge=True)
    assert known(summary.sft).demonstrations == 14
    assert summary.steps == known(summary.sft).updates == summary.best_step == 4
    assert summary.judge_score_is is None
    assert known(summary.evaluation.before.kl.overall).value == pytest.approx(0.0, abs=1e-6)
    assert known(summary.evaluation.after.kl.overall).value != 0.0
    data = directory.report_data(summary)
    for measured in (data.before, data.after):  # by the model's own likelihood, before training and after
        assert all(response.reference_log_likelihood is not None for response in measured.responses)
    assert AutoModelForCausalLM.from_pretrained(directory.best)
    assert AutoModelForCausalLM.from_pretrained(directory.merged)
    assert "supervised fine-tuning" in (directory.best / "README.md").read_text()
    assert "The judge</h2>" not in report(directory)
    assert known(summary.kept_breaks_bound).startswith("KL ")
    assert "The kept checkpoint breaks a bound on the test prompts: KL " in known(summary.headline)
    assert not summary.chosen_on_validation
    for text in (report(directory), (directory.best / "README.md").read_text()):
        assert "validation prompts" not in text
        assert "the checkpoint was chosen on" not in text


def test_best_of_n_learns_the_best_of_its_own_responses(run: Runner) -> None:
    overrides = ["best_of_n.samples=3", "best_of_n.max_new_tokens=6", "best_of_n.prompts_at_once=3", *FINE_TUNING]
    directory, summary, _ = run("best_of_n", *JUDGE, *overrides)
    found = known(summary.best_of_n)
    assert found.prompts == summary.prompts.training
    assert known(found.mean_reward_of_the_best) > known(found.mean_reward)
    assert known(summary.fine_tuning).demonstrations == found.chosen > 0
    rows: list[dict[str, Any]] = read_rows(directory.path / "best_of_n.jsonl")
    assert [len(row["best"]) for row in rows[:-1]] == [3] * (len(rows) - 1)
    for row in rows:
        assert all(len(rewards) == 3 for rewards in row["rewards"])
    kept = best_of_n_rows((directory.path / "best_of_n.jsonl").read_bytes().splitlines(), "best_of_n.jsonl")
    asked = {known(row.prompt).id for row in kept}
    measured = json.loads((directory.path / "evaluations/before.json").read_text())["responses"]
    assert len(asked) == len(kept) == found.prompts
    assert asked.isdisjoint(row["prompt_id"] for row in measured)
    assert fmean(known(row.highest) for row in kept) == pytest.approx(known(found.mean_reward_of_the_best))


def test_best_of_n_by_a_tournament(run: Runner) -> None:
    overrides = ["best_of_n.samples=3", "best_of_n.max_new_tokens=6", "best_of_n.prompts_at_once=3", *FINE_TUNING]
    judged = ["judge.mode=siblings", "judge.design=knockout", "judge.constitution=helpful"]
    directory, summary, _ = run("best_of_n", *JUDGE, *overrides, *judged)
    found = known(summary.best_of_n)
    assert known(found.mean_reward_of_the_best) > known(found.mean_reward)
    assert known(found.mean_reward) == pytest.approx(0.0, abs=0.2)  # strengths are relative to their group
    assert "knockout" in report(directory)


def test_constitutional_revises_fine_tunes_and_goes_on_as_rlaif(run: Runner, tmp_path: Path) -> None:
    wide = make_model(window=4096)  # a critique is asked for in many words
    for each in (wide.model, wide.tokenizer):
        each.save_pretrained(tmp_path / "wide")
    revision = [
        "revision.max_new_tokens=400",
        "revision.critique_tokens=8",
        "revision.rounds=1",
        "revision.temperature=9",
    ]
    directory, summary, _ = run(
        "constitutional", f"policy={tmp_path / 'wide'}", *JUDGE, *RL, "rl.steps=2", ONE_PART, *CANDIDATES,
        *REWARD_MODEL, *FINE_TUNING, *revision,
    )  # fmt: skip
    assert known(summary.revision).revised == known(summary.fine_tuning).demonstrations > 0
    assert summary.calls["reviser"].calls > 0
    assert summary.policy.startswith("model#")  # the fine-tuned one is policy and reference
    assert "criticised and rewrote its own answers" in report(directory)


@pytest.mark.parametrize("mode", ["siblings", "reference"])
def test_direct_rlaif_by_comparisons(run: Runner, mode: str) -> None:
    overrides = [f"judge.mode={mode}", "judge.constitution=helpful", "judge.reward=expectation"]
    directory, summary, _ = run("direct_rlaif", *JUDGE, *RL, "rl.steps=2", ONE_PART, *overrides)
    rows = read_rows(directory.path / "metrics.jsonl")
    assert any(row["reward"] is not None for row in rows)
    assert known(summary.constitution).name == "helpful"
    assert "in both orders" in report(directory)


@pytest.mark.parametrize("design", ["swiss", "listwise"])
def test_direct_rlaif_by_strengths_within_the_group(run: Runner, design: str) -> None:
    overrides = ["judge.mode=siblings", f"judge.design={design}", "judge.constitution=helpful"]
    directory, summary, _ = run("direct_rlaif", *JUDGE, *RL, "rl.steps=2", ONE_PART, *overrides)
    rows = read_rows(directory.path / "metrics.jsonl")
    assert any(row["reward"] is not None for row in rows)
    settings: Any = summary.recipe["judge"]
    assert settings["design"] == design
    assert {"swiss": "Swiss tournament", "listwise": "at once"}[design] in report(directory)


def test_a_run_says_which_loss_it_had_and_how_far_its_sampler_was(run: Runner) -> None:
    loss = ["rl.algorithm=grpo", "rl.loss=dapo", "rl.minibatches=2", "rl.clip_range_high=0.28"]
    more = ["rl.entropy_coefficient=0.01", "rl.truncated_importance=2.0"]
    directory, _, _ = run("direct_rlaif", *JUDGE, *RL, "rl.steps=1", ONE_PART, *loss, *more)
    (row,) = read_rows(directory.path / "metrics.jsonl")
    facts: Any = row["objective"]
    assert facts.keys() == {"entropy", "sampler_gap", "truncated"}
    assert 0.0 < facts["entropy"] < 6.0
    assert 0.0 <= facts["sampler_gap"] < 0.2
    assert {"DAPO", "1.28", "entropy", "sampler"} <= set(re.findall(r"[\w.]*\w", report(directory)))


def test_online_dpo_is_direct_rlaif_by_siblings(run: Runner) -> None:
    _, summary, _ = run("online_dpo", *JUDGE, *RL, "rl.steps=2", "rl.group_size=2", ONE_PART)
    assert summary.steps == 2
    settings: Any = summary.recipe["judge"]
    assert settings["mode"] == "siblings"


def test_fine_tuning_first_makes_the_policy_and_its_reference(run: Runner, tmp_path: Path) -> None:
    overrides = [demonstrations(tmp_path), *SFT, *JUDGE, *RL, "rl.steps=2", "judge.reward=log_odds"]
    directory, summary, _ = run("quickstart", *overrides)
    assert known(summary.sft).updates == 4
    assert summary.policy.startswith("model#")
    assert known(summary.evaluation.before.kl.overall).value == pytest.approx(0.0, abs=1e-6)
    base = json.loads((directory.best / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base) == directory.path / "sft/model"
    again = execute(RunDirectory.open(directory.path), Told(), merge=True)
    assert again == summary
    assert AutoModelForCausalLM.from_pretrained(directory.merged)


def test_reward_functions_are_added_with_their_weights_and_rewards_are_processed(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def short(completions, **_):\n    return [-float(len(c[0]['content'])) for c in completions]\n"
    )
    function = f'rewards.functions=["{tmp_path / "mine.py"}:short"]'
    directory, summary, _ = run(
        "quickstart", *RL, "rl.steps=2", *JUDGE, function, "rewards.feedback_weight=0", "reward_processing.clip=1.0"
    )
    rows: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert all(row["reward"] is None or -1.0 <= row["reward"] <= 0.0 for row in rows)
    assert summary.reward_processing == "clipped to ±1"


def test_reward_functions_are_added_to_a_reward_model_too(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def ten(completions, **_):\n    return [10.0 for _ in completions]\n")
    function = f'rewards.functions=["{tmp_path / "mine.py"}:ten"]'
    few = [*RL, "rl.steps=1", ONE_PART, *CANDIDATES, *REWARD_MODEL, people(tmp_path)]
    directory, _, _ = run("rlhf", *few, function, "rewards.weights=[2.0]")
    rows: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert [row["reward"] > 15.0 for row in rows] == [True]
    assert "2 × " in report(directory)
    assert "the reward model's" in report(directory).replace("&#39;", "'")


def test_a_held_out_judge_measures_in_place_of_the_lexicon(run: Runner) -> None:
    held_out = ["evaluation.judge.model=scripted:first", "evaluation.judge.constitution=helpful"]
    directory, summary, told = run("quickstart", *RL, "rl.steps=2", *JUDGE, *held_out)
    assert summary.heldout_score_is == "scripted:first by helpful"
    assert not summary.heldout_judge_trained
    # It always says 1, the lowest of ten.
    assert known(summary.evaluation.after.heldout_score.overall).value == pytest.approx(-1.0, abs=0.1)
    assert summary.calls["held-out judge"].calls > 0
    assert not any("held-out judge is the training judge" in note for note in told.notes)
    assert "Held-out score (scripted:first by helpful)" in report(directory)


def test_a_held_out_judge_that_trained_is_said_to_have(run: Runner) -> None:
    _, summary, told = run("quickstart", *RL, "rl.steps=1", *JUDGE, "evaluation.judge.model=scripted:random")
    assert summary.heldout_judge_trained
    assert any("held-out judge is the training judge" in note for note in told.notes)


def test_each_step_of_a_run_goes_to_tensorboard(run: Runner) -> None:
    directory, _, _ = run("quickstart", *RL, "rl.steps=2", *JUDGE, "tracking.with=tensorboard")
    readers = [EventAccumulator(str(path)) for path in directory.path.rglob("events.out.tfevents*")]
    for reader in readers:
        reader.Reload()
    [steps] = [reader for reader in readers if reader.Tags()["scalars"]]  # the other file holds the settings
    assert [event.step for event in steps.Scalars("rl/reward")] == [1, 2]


def test_every_checkpoint_has_a_model_card(run: Runner) -> None:
    directory, _, _ = run("quickstart", *RL, "rl.steps=2", *JUDGE)
    card = (directory.path / "checkpoints/step-000002/README.md").read_text()
    assert "step 2" in card
    assert "scripted:random" in card
    assert "evaluations/step-000002.json" in card


def test_ppo_learns_a_value_head_in_a_run(run: Runner) -> None:
    _, summary, _ = run("quickstart", *RL, *JUDGE, "rl.steps=2", "rl.algorithm=ppo")
    assert summary.steps == 2


def test_labels_and_models_of_a_finished_stage_that_were_altered_are_not_used(run: Runner) -> None:
    directory, _, _ = run("rlaif", *JUDGE, *RL, "rl.steps=1", ONE_PART, *CANDIDATES, *REWARD_MODEL)
    (directory.path / "summary.json").unlink()
    labels = directory.path / "labels/preferences.jsonl"
    kept = labels.read_bytes()
    labels.write_bytes(kept[:-20])
    with pytest.raises(CheckpointError, match=r"labels/preferences\.jsonl: is missing or was altered"):
        execute(directory, Told())
    labels.write_bytes(kept)
    weights = directory.path / "reward_model/member-0/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: has \d+ bytes"):
        execute(directory, Told())


def test_a_human_file_without_labels_and_demonstrations_that_are_measured_on_are_refused(
    run: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(json.dumps({"prompt": "p", "response_a": "a", "response_b": "b"}) + "\n")
    with pytest.raises(UsageError, match="holds no preference of people"):
        run("rlhf", f'preferences.human=["{path}"]', *RL, ONE_PART)
    path.write_text(json.dumps({"prompt": "p"}) + "\n")
    with pytest.raises(UsageError, match="no demonstration to learn from"):
        run("sft", f"sft.demonstrations={path}")
    assert not (tmp_path / "run").exists()


def test_reference_answers_are_learnt_or_measured_on_but_never_both(run: Runner, tmp_path: Path) -> None:
    directory, summary, told = run("sft", f"sft.demonstrations={tmp_path / 'references.jsonl'}", *SFT)
    measured = json.loads((directory.path / "evaluations/after.json").read_text())["references"]
    assert known(summary.sft).demonstrations + len(measured) == 4
    assert any("2 demonstrations are left out" in note for note in told.notes)
    shutil.rmtree(directory.path)
