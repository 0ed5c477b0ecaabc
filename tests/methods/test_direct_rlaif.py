"""A whole run in one process: what it writes, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.evaluation.checkpoints.snapshot import MeasureName, Snapshot
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory, next_run_path
from preceptor.training.policy import Policy
from small import WORDS, Told, known, settings


def wider(folder: Path, policy: Path) -> list[str]:
    """As `settings`, with prompts and reference answers enough for intervals."""
    overrides = settings(folder, policy)
    with (folder / "prompts.jsonl").open("a") as stream:
        stream.writelines(json.dumps({"prompt": f"Say {word} again"}) + "\n" for word in WORDS)
    with (folder / "references.jsonl").open("w") as stream:
        stream.writelines(json.dumps({"prompt": word, "reference": word * 2}) + "\n" for word in WORDS)
    return overrides


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[RunDirectory, RunSummary, Told]:
    folder = tmp_path_factory.mktemp("run")
    directory = RunDirectory.create(folder / "run", load_recipe("quickstart", wider(folder, tiny_folder)))
    told = Told()
    return directory, execute(directory, told, merge=True), told


def test_the_summary_holds_every_headline_number(finished: tuple[RunDirectory, RunSummary, Told]) -> None:
    directory, summary, told = finished
    written = json.loads((directory.path / "summary.json").read_text())
    assert RunSummary.model_validate(written) == summary
    assert written == summary.model_dump(mode="json")
    assert summary.steps == 5
    assert told.steps == [1, 2, 3, 4, 5]
    assert told.measured_at == [0, 2, 4, 5]
    measures: tuple[MeasureName, ...] = (
        "judge_score", "heldout_score", "kl", "tokens_mean", "distinct_2", "reference_perplexity",
    )  # fmt: skip
    for of_policy in (summary.evaluation.before, summary.evaluation.after):
        for name in measures:
            measure = of_policy.measure(name)
            overall = known(measure.overall)
            same = {"heldout_score": 0.0, "tokens_mean": 6.0, "kl": 0.0, "distinct_2": 1.0}
            if name in same and overall.low is None:  # for every prompt: such have no interval
                assert overall.value == same[name]
                continue
            assert overall.low is not None
            assert overall.high is not None
            assert overall.low <= overall.value <= overall.high
            assert measure.by_cohort
    assert known(summary.evaluation.before.kl.overall).value == pytest.approx(0.0, abs=1e-6)
    assert summary.prompts.training + summary.prompts.held_out == 28
    assert summary.judge_calls > 30
    assert summary.judge_failures == 0
    # the scripted judge puts all its probability on the choices, and its opinion does not depend on length
    assert not {"failures", "choice_mass", "length"} & {warning.kind for warning in known(summary.judge_warnings)}


def test_text_before_and_after_is_read_by_the_same_measure(finished: tuple[RunDirectory, RunSummary, Told]) -> None:
    directory, summary, _ = finished
    data = directory.report_data(summary)
    for measured in (data.before, data.after):
        assert all(response.reference_log_likelihood is not None for response in measured.responses)
    unreadable = known(summary.unreadable)
    floor = data.before.likelihood_floor
    assert unreadable.before == data.before.unreadable(floor)
    assert unreadable.after == data.after.unreadable(floor)


def test_the_run_directory_is_as_documented(finished: tuple[RunDirectory, RunSummary, Told]) -> None:
    directory, summary, _ = finished
    for name in ("recipe.toml", "ledger.sqlite", "checkpoints", "metrics.jsonl", "summary.json", "report.html"):
        assert (directory.path / name).exists()
    assert load_recipe(str(directory.path / "recipe.toml")) == directory.recipe
    assert AutoModelForCausalLM.from_pretrained(directory.path / summary.best_checkpoint)
    assert AutoModelForCausalLM.from_pretrained(directory.merged)
    card = (directory.best / "README.md").read_text()
    assert known(summary.constitution).hash in card
    assert "direct RLAIF" in card
    assert "scripted:random" in card
    assert not list(directory.path.rglob("*.partial"))


def test_a_finished_run_is_not_repeated(finished: tuple[RunDirectory, RunSummary, Told]) -> None:
    directory, summary, _ = finished
    told = Told()
    assert execute(RunDirectory.open(directory.path), told) == summary
    assert told.steps == []
    assert told.notes == ["this run is already finished"]


def test_a_finished_run_can_still_be_merged_and_a_failure_to_do_so_costs_nothing(
    finished: tuple[RunDirectory, RunSummary, Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, summary, _ = finished
    merged = (directory.merged / "model.safetensors").read_bytes()
    shutil.rmtree(directory.merged)
    monkeypatch.chdir("/")
    with monkeypatch.context() as patch:
        patch.setattr(Policy, "save_merged", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(PreceptorError, match=r"merged: cannot be written.*No space left"):
            execute(RunDirectory.open(directory.path), Told(), merge=True)
    assert execute(RunDirectory.open(directory.path), Told(), merge=True) == summary
    assert directory.read_summary() == summary
    assert (directory.merged / "model.safetensors").read_bytes() == merged


def test_the_same_seed_gives_the_same_run_and_another_another(
    finished: tuple[RunDirectory, RunSummary, Told], tmp_path: Path, tiny_folder: Path
) -> None:
    metrics = (finished[0].path / "metrics.jsonl").read_bytes()
    for seed, equal in (("0", True), ("1", False)):
        overrides = [*wider(tmp_path, tiny_folder), f"seed={seed}"]
        directory = RunDirectory.create(tmp_path / seed, load_recipe("quickstart", overrides))
        execute(directory, Told())
        assert ((directory.path / "metrics.jsonl").read_bytes() == metrics) == equal


def test_a_directory_with_another_recipe_is_left_alone(
    finished: tuple[RunDirectory, RunSummary, Told], tmp_path: Path
) -> None:
    directory = finished[0]
    with pytest.raises(UsageError, match="holds a run of another recipe"):
        RunDirectory.create(directory.path, load_recipe("quickstart", ["seed=99"]))
    with pytest.raises(UsageError, match="already holds this run; resume it"):
        RunDirectory.create(directory.path, directory.recipe)
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(UsageError, match="is not an empty folder"):
        RunDirectory.create(tmp_path, directory.recipe)
    with pytest.raises(UsageError, match="holds no run"):
        RunDirectory.open(tmp_path)


def test_a_prompt_that_does_not_fit_is_skipped_and_counted(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = settings(tmp_path, tiny_folder)
    with (tmp_path / "prompts.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "x" * 600}) + "\n")
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", [*overrides, "rl.steps=1"]))
    told = Told()
    assert execute(directory, told).prompts.skipped == 1
    assert told.notes[0] == "1 prompts do not fit the policy's context window and are skipped"


def test_a_failed_run_says_so_and_a_damaged_measurement_is_not_trusted(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    (directory.path / "evaluations").mkdir()
    (directory.path / "evaluations" / "before.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"before\.json: is damaged"):
        execute(directory, Told())
    assert json.loads((directory.path / "summary.json").read_text())["status"] == "failed"


def test_a_run_is_held_to_the_prompts_it_began_with(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = [*settings(tmp_path, tiny_folder), "rl.steps=1"]
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))
    execute(directory, Told())
    (directory.path / "summary.json").unlink()
    with (tmp_path / "prompts.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "one more"}) + "\n")
    log = (directory.path / "log.txt").read_text()
    with pytest.raises(UsageError, match="holds a run made with other prompts"):
        execute(directory, Told())
    assert (directory.path / "log.txt").read_text() == log
    assert not (directory.path / "summary.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["evaluation.heldout_share=0.01"],
            r"0 of 14 usable prompts are held out; at least 6 are needed, 3 for validation",
        ),
        (["rl.prompts_per_step=50"], r"training prompts, but rl\.prompts_per_step is 50"),
        (["evaluation.references=package:everyday_prompts"], 'prompt "advice-001" has no reference answer'),
        (["policy=scripted:random"], "this form cannot be trained"),
        (["judge.model=hf:nonsense"], "expected hf:ORG/NAME"),
    ],
)
def test_a_mistake_in_the_inputs_leaves_no_directory_behind(
    tmp_path: Path, tiny_folder: Path, overrides: list[str], message: str
) -> None:
    recipe = load_recipe("quickstart", [*settings(tmp_path, tiny_folder), *overrides])
    with pytest.raises(UsageError, match=message):
        RunDirectory.create(tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_what_chose_is_not_what_proves(finished: tuple[RunDirectory, RunSummary, Told]) -> None:
    """Looks at checkpoints, and the results, are on different held-out prompts, and looks measure little."""
    directory, summary, _ = finished
    asked = {
        path.stem: {r.prompt_id for r in Snapshot.model_validate_json(path.read_text()).responses}
        for path in (directory.path / "evaluations").glob("*.json")
    }
    looks = [ids for name, ids in asked.items() if name.startswith("step-")]
    assert len(looks) == 4
    assert all(ids == looks[0] for ids in looks)
    assert asked["before"] == asked["after"]
    assert not asked["before"] & looks[0]
    prompts = summary.prompts
    assert (len(looks[0]), len(asked["before"])) == (prompts.validation, prompts.test)
    assert len(looks[0]) + len(asked["before"]) == prompts.held_out
    look = Snapshot.model_validate_json((directory.path / "evaluations/step-000004.json").read_text())
    row = json.loads((directory.path / "metrics.jsonl").read_text().splitlines()[3])
    assert look.references == ()
    assert {r.judge_score for r in look.responses} == {None}
    assert not look.is_graded
    assert summary.curve[-1].judge_failures == 0
    assert summary.chosen_on_validation
    assert summary.kept_breaks_bound is None
    assert look.kl.overall is not None
    assert look.kl.overall.value == row["kl"]
    guarded = [name for name in asked if name.startswith("references-")]
    assert guarded == ([f"references-{summary.best_step:06d}"] if summary.best_step else [])
    assert "on 10 test prompts" in known(summary.headline).lower()
    assert "the checkpoint was chosen on 6 other prompts" in (directory.best / "README.md").read_text()


def test_a_run_of_an_earlier_version_is_not_gone_on_with(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    recipe = directory.path / "recipe.toml"
    recipe.write_text("".join(line for line in recipe.open() if not line.startswith("validation_share")))
    with pytest.raises(UsageError, match="an earlier version of preceptor began this run"):
        execute(RunDirectory.open(directory.path), Told())
    assert not {"log.txt", "summary.json"} & {path.name for path in directory.path.iterdir()}


def test_a_constitution_without_a_measure_is_not_measured_by_another_one(tmp_path: Path, tiny_folder: Path) -> None:
    wide = [
        f"evaluation.bounds.{name}"
        for name in ("max_kl=1e9", "max_perplexity_ratio=100", "min_distinct_ratio=0.01", "max_limit_increase=1")
    ]
    overrides = [*settings(tmp_path, tiny_folder), *wide, "judge.constitution=helpful"]
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))
    summary = execute(directory, Told())
    assert summary.heldout_score_is is None
    assert summary.heldout_change is None
    assert summary.win_rate is None
    within = [look.step for look in summary.curve if str(look.step) not in summary.excluded_checkpoints]
    assert summary.best_step == within[-1] > 0
    assert known(summary.headline).startswith("Nothing independent measured this run")
    for page in (directory.report, directory.report.with_suffix(".md"), directory.best / "README.md"):
        text = page.read_text()
        assert "Nothing independent measured this run" in text
        assert "VADER" not in text


def of_ten_choices(folder: Path) -> Path:
    """A constitution that scores from 1 to 10."""
    path = folder / "c.toml"
    choices = ", ".join(f'{{ answer = "{i}", value = {i} }}' for i in range(1, 11))
    path.write_text(
        'name = "c"\nversion = "1"\nsummary = "s"\nprinciples = ["p"]\n[score]\nitem = "Text: {response}\\nScore:"\n'
        f"choices = [{choices}]\n"
    )
    return path


def test_how_a_judgement_becomes_a_reward_follows_from_the_constitution(tmp_path: Path, tiny_folder: Path) -> None:
    for constitution, kind in ((of_ten_choices(tmp_path), "expectation"), ("warm_tone", "log-odds")):
        overrides = [*settings(tmp_path, tiny_folder), f"judge.constitution={constitution}", "rl.steps=1"]
        directory = RunDirectory.create(tmp_path / kind, load_recipe("quickstart", overrides))
        summary = execute(directory, Told())
        assert summary.judge_score_is == f"training judge's reward ({kind})"
        assert f"the {kind} of their probabilities" in directory.report.read_text()


@pytest.mark.parametrize(("recipe", "scale"), [("quickstart", None), ("direct_rlaif", "tiny"), ("best_of_n", "tiny")])
@pytest.mark.parametrize("constitution", ["helpful", "own"])
def test_a_constitution_of_ones_own_needs_no_further_settings(
    tmp_path: Path, recipe: str, scale: str | None, constitution: str
) -> None:
    named = of_ten_choices(tmp_path) if constitution == "own" else constitution
    RunDirectory.create(tmp_path / "run", load_recipe(recipe, [f"judge.constitution={named}"], scale))


def test_log_odds_that_are_named_need_a_constitution_of_two_choices(tmp_path: Path, tiny_folder: Path) -> None:
    constitution = of_ten_choices(tmp_path)
    overrides = [*settings(tmp_path, tiny_folder), f"judge.constitution={constitution}", "judge.reward=log_odds"]
    with pytest.raises(UsageError, match=r'"log_odds" needs a constitution with two choices, .*c\.toml has 10; leave'):
        RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))


def test_an_edited_recipe_is_another_run(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(
        tmp_path / "run", load_recipe("quickstart", [*settings(tmp_path, tiny_folder), "rl.steps=1"])
    )
    execute(directory, Told())
    (directory.path / "summary.json").unlink()
    path = directory.path / "recipe.toml"
    path.write_text(path.read_text().replace("learning_rate = 0.001", "learning_rate = 0.002"))
    with pytest.raises(UsageError, match="holds a run made with other recipe"):
        execute(RunDirectory.open(directory.path), Told())


def test_a_damaged_state_and_measurement_are_recovered_as_the_message_says(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    execute(directory, Told())
    metrics = (directory.path / "metrics.jsonl").read_bytes()
    measured = directory.path / "evaluations" / "step-000004.json"
    expected = measured.read_bytes()
    (directory.path / "summary.json").unlink()
    measured.write_text("{")
    with pytest.raises(CheckpointError, match="delete it and the run's `state` folder and resume"):
        execute(directory, Told())
    measured.unlink()
    shutil.rmtree(directory.path / "state")
    execute(directory, Told())
    assert (directory.path / "metrics.jsonl").read_bytes() == metrics
    assert measured.read_bytes() == expected


def test_the_next_free_directory(tmp_path: Path) -> None:
    assert next_run_path(tmp_path, "q") == tmp_path / "q-1"
    (tmp_path / "q-1").mkdir()
    assert next_run_path(tmp_path, "q") == tmp_path / "q-2"
