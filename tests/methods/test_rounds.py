"""Whole runs in rounds, by a tiny random model; and the recipe of each round."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file

from conftest import make_model
from preceptor.core.errors import UsageError
from preceptor.evaluation.checkpoints.snapshot import Snapshot, change
from preceptor.methods.execute import execute
from preceptor.methods.run import resume
from preceptor.methods.sweep import sweep
from preceptor.recipes.load import load_recipe
from preceptor.results.rounds import RoundsRecord
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.result import RunResult
from preceptor.store.files import read_json, read_rows
from preceptor.store.prompts import read_prompts
from preceptor.tasks.evaluate.policies import EvaluatedPolicy
from preceptor.tasks.evaluate.training_judge import judges_of, trained_on
from preceptor.tasks.publish import publish
from preceptor.tasks.report import report
from rounds_small import DPO, RL, small
from small import Told, known


def done(folder: Path, recipe: str, overrides: list[str]) -> tuple[RunDirectory, RunSummary, RoundsRecord]:
    directory = RunDirectory.create(folder, load_recipe(recipe, overrides))
    summary = execute(directory, Told())
    return directory, summary, known(summary.rounds)


def snapshot(folder: Path, name: str) -> Snapshot:
    return Snapshot.model_validate_json((folder / "evaluations" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a window in which a judge's question fits."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    model = make_model(window=2048)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def test_a_policy_that_judges_itself_is_said_to_first_of_all(tmp_path: Path, wide: Path) -> None:
    own = [f"judge.model={wide}", "judge.variant=scored", "rounds.judge=policy", "rounds.reference=first"]
    more = ["rounds.count=2", "rounds.earlier_labels=0.5", "preferences.ai_weight=2.0"]
    directory, summary, record = done(tmp_path / "run", "dpo", [*small(tmp_path, wide), *own, *DPO, *more])
    first, second = record.rounds
    second_run = RunDirectory.open(directory.round_folder(2))
    assert second.policy == second.judge == "rounds/1/checkpoints/best"  # the newest policy, which also judges
    assert (first.policy, second_run.recipe.policy) == (str(wide), str(wide))  # the first policy is the reference
    assert second_run.recipe.begin == str(directory.round_folder(1) / "checkpoints/best")
    labels = directory.round_folder(1) / "labels/preferences.jsonl"
    table = read_json(directory.round_folder(2) / "summary.json")["recipe"]["preferences"]  # type: ignore[index,call-overload]
    assert table["labelled"] == [str(labels)]  # type: ignore[index,call-overload]
    assert table["labelled_weights"] == [0.5]  # type: ignore[index,call-overload]
    assert first.earlier_labels == 0
    assert 0 < second.earlier_labels <= len(read_rows(labels)) == first.labels
    # The measurement before the second round is of the policy that the first one kept: its KL to the first is not 0.
    began = snapshot(second_run.path, "before")
    assert first.kept_step == 0 or any(response.kl for response in began.responses)

    assert known(summary.judge_warnings)[0].kind == "self_rewarding"
    assert known(summary.headline).startswith("The policy was its own judge")
    result = RunResult.load(tmp_path / "run")
    assert result.rounds == record
    assert f"round {record.best} (kept): gain" in str(result)
    assert "licence" in result.warnings[0]  # of which the recipe says that it is waived
    assert "self-rewarding" in result.warnings[1]
    card = (Path(result.best) / "README.md").read_text(encoding="utf-8")
    assert card.index("self-rewarding") < card.index("Trained with preceptor")
    page = directory.report.read_text(encoding="utf-8")
    assert page.index("self-rewarding") < page.index("What was done")
    assert 'href="rounds/2/report.html"' in page
    assert json.loads((Path(result.best) / "adapter_config.json").read_text())["base_model_name_or_path"] == str(wide)


def test_rounds_from_whole_models_with_fresh_prompts(tmp_path: Path, tiny_folder: Path) -> None:
    cohort = tmp_path / "cohort.jsonl"
    cohort.write_text("".join(json.dumps({"prompt": f"Tell {number}"}) + "\n" for number in range(60)))
    fresh = ["rounds.count=3", f"rounds.prompts={cohort}", "rounds.prompts_each=4"]
    directory, summary, record = done(tmp_path / "run", "online_dpo", [*small(tmp_path, tiny_folder), *RL, *fresh])
    texts: list[set[str]] = []
    for number, each in enumerate(record.rounds, start=1):
        one = RunDirectory.open(directory.round_folder(number))
        assert {r.prompt for r in snapshot(one.path, "before").responses} == {
            r.prompt for r in snapshot(directory.path, "before").responses
        }  # the same test prompts
        if number > 1:
            assert (
                each.policy == f"rounds/{number - 1}/merged" == str(Path(one.recipe.policy).relative_to(directory.path))
            )
            assert each.training_prompts == 4
            texts.append({prompt.text for prompt in read_prompts(one.recipe.prompts)})
    assert len(record.rounds) == 3
    assert not {text for text in texts[0] & texts[1] if text.startswith("Tell")}  # each trains on others

    looks = [snapshot(directory.path, f"step-{number:06d}") for number in range(4)]
    assert [each.gain for each in record.rounds] == [change(looks[0], look) for look in looks[1:]]
    tests = [snapshot(directory.round_folder(number), "after") for number in range(1, 4)]
    first = snapshot(directory.round_folder(1), "before")
    assert [each.test_gain for each in record.rounds] == [change(first, after) for after in tests]
    assert summary.heldout_change == change(first, snapshot(directory.path, "after"))
    assert (summary.steps, summary.best_step, summary.kept) == (3, record.best, f"round {record.best}")
    assert [measures.step for measures in summary.curve] == [0, 1, 2, 3]

    result = RunResult.load(directory.path)
    assert (Path(result.best) / "model.safetensors").is_file()  # a whole model: it needs no other round's folder
    assert known(result.generate("Say 1", max_new_tokens=3)) is not None
    page = directory.report.read_bytes()
    assert report(result).report.read_bytes() == page
    sent = publish(result, "me/rounds")
    assert {file.name for file in sent.files} >= {"model.safetensors", "README.md", "report.html"}
    with pytest.raises(UsageError, match=r"rounds/1"):
        sweep(result)
    assert {judge.partition("#")[0] for judge in judges_of(directory)} == {"scripted:random"}
    seen = trained_on([EvaluatedPolicy(name="tuned", source=str(directory.path))], read_prompts(str(cohort)))
    assert seen == {"tuned": 8}  # four in each of two rounds
    merged = resume(directory.path, merge=True, progress=Told())
    assert Path(merged.best).name == "merged"
    assert merged.summary == summary


def test_the_first_policy_is_kept_if_no_round_gained(tmp_path: Path, tiny_folder: Path) -> None:
    still = ["rounds.count=2", "rounds.reference=first", "evaluation.stop_early=true"]
    directory, summary, record = done(
        tmp_path / "run", "dpo", [*small(tmp_path, tiny_folder), *DPO, *still, "dpo.learning_rate=1e-30"]
    )
    assert (len(record.rounds), record.best, summary.kept_untrained) == (1, 0, True)
    assert "Nothing changed" in known(summary.headline)
    assert snapshot(directory.path, "after") == snapshot(directory.path, "before")
    adapters = load_file(directory.best / "adapter_model.safetensors")
    assert not any(tensor.any() for name, tensor in adapters.items() if "lora_B" in name)  # they change nothing
    result = RunResult.load(directory.path)
    assert "the first policy was kept" in str(result)
    assert any("No round beat" in warning for warning in result.warnings)
    page = directory.report.read_text(encoding="utf-8")
    assert "The first policy was kept" in page
    assert "(kept)" not in page
    merged = Path(resume(directory.path, merge=True, progress=Told()).best)
    own, first = load_file(merged / "model.safetensors"), load_file(tiny_folder / "model.safetensors")
    assert all((own[name] == first[name]).all() for name in first)


def test_rounds_of_best_of_n_end_when_the_gain_no_longer_rises(tmp_path: Path, tiny_folder: Path) -> None:
    fine = ["fine_tuning.batch_size=8", "fine_tuning.epochs=1", "fine_tuning.gradient_accumulation_steps=1"]
    some = ["best_of_n.samples=2", "best_of_n.max_new_tokens=4", "evaluation.stop_early=true", "rounds=3"]
    directory, summary, record = done(tmp_path / "run", "best_of_n", [*small(tmp_path, tiny_folder), *fine, *some])
    *rising, last = [each.lower_bound for each in record.rounds]
    assert all(later > earlier for earlier, later in pairwise(rising))
    assert record.stopped is None or last <= max(rising)
    gained = [each for each in record.rounds if each.gained]
    assert record.best == (max(gained, key=lambda each: each.lower_bound).number if gained else 0)
    assert summary.stopped_early == record.stopped
    assert record.rounds[1].policy == "rounds/1/checkpoints/best"
    assert Path(RunDirectory.open(directory.round_folder(2)).recipe.policy).is_dir()
