"""A checkpoint sweep: every checkpoint of a run on cohorts of prompts, by a measure that took no part in training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from preceptor.backends.names import check_name, same_model
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.environment import environment
from preceptor.core.errors import CheckpointError, UsageError
from preceptor.core.extras import require_training
from preceptor.core.hashing import content_hash
from preceptor.core.outlook import MEASURING, Part
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject, Prompt, Response
from preceptor.core.validation import check_count
from preceptor.display.progress import shown
from preceptor.environments.loading import load_environment
from preceptor.evaluation.checkpoints.choose import Bounds
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.checkpoints.sweep import Measured
from preceptor.evaluation.checkpoints.sweep import sweep as summarised
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge import Judge
from preceptor.judging.settings import ScoreSettings
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.agent import acting
from preceptor.methods.agent import prompt_tokens as tokens_with_tools
from preceptor.methods.judge_tables import judge_spec
from preceptor.methods.parts.reward_models import open_reward_model
from preceptor.recipes.agent import AgentRecipe
from preceptor.recipes.base import Recipe
from preceptor.recipes.environments import EnvironmentSettings
from preceptor.recipes.load import validated
from preceptor.recipes.settings import JudgeSettings, RewardModelTable
from preceptor.reports.sweep.page import render_sweep
from preceptor.results.sweep import SweepResult
from preceptor.runs.directory import RunDirectory
from preceptor.runs.evaluation import agent_measures
from preceptor.runs.held_out import HeldOut, held_out_measure
from preceptor.runs.inputs import LEAST
from preceptor.runs.judge import RunJudge
from preceptor.runs.measure import Grader, Meter, RewardModelGrader
from preceptor.runs.result import RunResult
from preceptor.runs.session import Session, prompt_tokens, within_window
from preceptor.runs.summary import judge_score_is
from preceptor.store.calls import JUDGE, calls_by_role
from preceptor.store.files import read_json, remove_partials, write_text, writing
from preceptor.store.ledger import Ledger
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.store.prompt_sets import read_prompt_sets
from preceptor.store.prompts import split_validation
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.evaluate.text_measures import Answer, rule_measures
from preceptor.tasks.evaluate.training_judge import judges_of
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.rl.sampling import Sampler

TRAINING_LEDGER, HELD_OUT_LEDGER = "ledger.sqlite", "held_out.sqlite"


@dataclass(frozen=True)
class SweepJob:
    """The run, prompts and judge of a sweep."""

    run: Path
    output: Output
    prompts: tuple[str, ...] = ()
    """Files of prompts, or packaged sets, optionally as `COHORT=FILE`; the run's held-out prompts if none is given."""
    judge: str | None = None
    """Model string of a held-out judge; the run's own held-out measure if none is given."""
    constitution: str | None = None
    """The judge's constitution; the run's own if none is given."""
    asking: ScoreSettings = field(default_factory=ScoreSettings)
    """How the judge scores."""
    samples: int | None = None
    """Responses to each prompt; as many as in the run's own measurements if not given."""
    max_kl: float | None = None
    max_perplexity_ratio: float | None = None
    """Bounds that replace the run's."""

    @property
    def out(self) -> Path:
        """The folder of the sweep."""
        return self.output.path


def sweep(
    run: str | Path | RunResult,
    *,
    prompts: "Rows | Mapping[str, Rows] | None" = None,
    judge: Judge | JudgeSpec | str | None = None,
    out: str | Path | None = None,
    samples: int | None = None,
    max_kl: float | None = None,
    max_perplexity_ratio: float | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Measures every checkpoint of a run on the same prompts, finds the best one and where over-optimisation begins.

    Examples:
        >>> sweep("runs/quickstart-1", judge="openai:gpt-4o-mini").best_step  # doctest: +SKIP

    Args:
        run: a run or its directory.
        prompts: a path, a packaged set, texts, dicts, a DataFrame or a `datasets.Dataset`; or several of these by the
            name of their cohort. By default the prompts that the run held out.
        judge: a held-out judge, which scores responses. A model string alone judges by the run's constitution. The
            run's own held-out measure when None.
        out: the folder of the sweep; give it again to resume. By default a temporary folder, which is deleted with the
            result.
        samples: responses to each prompt; as many as in the run's own measurements when None.
        max_kl: bound on the KL to the reference, in nats per response; the run's own when None.
        max_perplexity_ratio: bound on perplexity, relative to before training; the run's own when None.
        progress: shows what happens; a bar or lines on standard error when None.

    Raises: as `run_sweep`.
    """
    check_count("samples", samples)
    output = output_folder(out)
    path = run.path if isinstance(run, RunResult) else Path(run)
    spec = None if judge is None else judge_spec(judge)
    job = SweepJob(
        run=path,
        output=output,
        prompts=() if prompts is None else tuple(_files(output.path, prompts)),
        judge=spec and spec.model,
        constitution=None if spec is None or isinstance(judge, str) else spec.constitution,
        asking=ScoreSettings() if spec is None else spec.resolved().scoring,
        samples=samples,
        max_kl=max_kl,
        max_perplexity_ratio=max_perplexity_ratio,
    )
    return run_sweep(job, progress)


def _files(folder: Path, prompts: "Rows | Mapping[str, Rows]") -> Iterator[str]:
    """The files of prompts, each with its cohort if it has one; rows in memory are written to the folder."""
    named = cast("Mapping[str, Rows]", prompts) if isinstance(prompts, Mapping) else {"": prompts}
    for number, (cohort, rows) in enumerate(named.items()):
        file = rows
        if not isinstance(rows, str | Path):
            check_own(folder, "sweep")
            with working_in(folder, "sweep"):
                given = f"the prompts given as {cohort}" if cohort else "the prompts given"
                file = rows_as_file(rows, folder, name=f"prompts-{number}.jsonl", text_column="prompt", given=given)
        yield f"{cohort}={file}" if cohort else str(file)


def run_sweep(job: SweepJob, progress: Progress | None = None) -> SweepResult:
    """Measures every checkpoint of a run, resuming where an earlier process stopped; writes `sweep.json`,
    `report.html`.

    Each checkpoint is measured once; the measurement is in `checkpoints/step-N.json`. Judges' answers are in the
    sweep's own ledgers.

    Raises: UsageError when the run has no checkpoints or was begun by an earlier version, a name is wrong or the folder
        holds another sweep; PreceptorError when a checkpoint was altered or a judge cannot be asked.
    """
    require_training()
    with shown(progress) as display:
        return _sweep(job, display)


def _sweep(job: SweepJob, progress: Progress) -> SweepResult:
    check_own(job.out, "sweep")
    directory = RunDirectory.open(job.run)
    directory.check_version()
    if directory.recipe.rounds is not None:
        raise UsageError(
            f"{job.run}: holds several rounds, each with checkpoints in its own folder; name one of them, such as "
            f"{directory.round_folder(1)}"
        )
    steps = checkpoint_steps(directory)
    bounds, judge = _bounds(job, directory), _judge_settings(job, directory)
    given = read_prompt_sets(job.prompts)
    session = Session(directory, progress, Processes(), merge=False)
    with (
        working_in(job.out, "sweep"),
        Ledger(job.out / TRAINING_LEDGER) as ledger,
        ExitStack() as opened,
    ):
        with writing(job.out):
            (job.out / "checkpoints").mkdir(exist_ok=True)
        ledger_of_measure = job.out / HELD_OUT_LEDGER
        acts_in = session.recipe.table(EnvironmentSettings)
        held_out = held_out_measure(
            judge, session.inputs.constitution, ledger_of_measure, lambda _: None, environment=acts_in and acts_in.name
        )
        if held_out is not None:
            opened.callback(held_out.close)
        remove_partials(job.out / "checkpoints")
        progress.stage("loading the models")
        policy = _policy(session)
        prompts, validation, trained_on = _prompts(given, session, policy)
        grader, reward_is = _grader(session, ledger)
        samples = job.samples or session.recipe.evaluation.samples_per_prompt
        pin(job.out / "begun.json", _begun(job, policy, prompts, held_out, judge, samples), "a sweep")
        sampler = opened.enter_context(_sampler(session.recipe, policy))
        meter = Meter(policy, grader, session.inputs.references, session.recipe, held_out, sampler=sampler)
        progress.plan([_part(session, job.out, steps, len(prompts) * samples)])
        snapshots = [_measured(job.out, session, meter, prompts, step, samples) for step in steps]
        measured = Measured(
            title=_title(directory),
            held_out=None if held_out is None else held_out.name,
            training_reward=reward_is,
            heldout_judge_trained=held_out is not None
            and any(same_model(held_out.identity, judge) for judge in judges_of(directory)),
            samples=samples,
            trained_on=trained_on,
            validation=tuple(prompt.id for prompt in validation),
            kept_step=None if (finished := directory.finished()) is None else finished.best_step,
            facts=_facts(job, policy, bounds),
        )
    measures = [*rule_measures(_answers(snapshots, prompts)), *agent_measures({str(s.step): s for s in snapshots})]
    result = SweepResult(**dict(summarised(snapshots, bounds, measured, measures)))
    write_text(job.out / "report.html", render_sweep(result, snapshots))
    return result.save(job.output)


def checkpoint_steps(directory: RunDirectory) -> list[int]:
    """The steps of a run that have a checkpoint, and step 0, the policy before training.

    Raises: UsageError when there is no checkpoint from training.
    """
    folders = (directory.path / "checkpoints").glob("step-*")
    numbers = [folder.name.removeprefix("step-") for folder in folders if folder.is_dir()]
    steps = {int(number) for number in numbers if number.isdigit()}
    if not steps - {0}:
        raise UsageError(
            f"{directory.path}: there are no checkpoints to sweep (method: {directory.recipe.title}); supervised "
            "fine-tuning and best of n keep only one model, and RL and DPO write checkpoints once training begins"
        )
    return sorted(steps | {0})


def _bounds(job: SweepJob, directory: RunDirectory) -> Bounds:
    given = {"max_kl": job.max_kl, "max_perplexity_ratio": job.max_perplexity_ratio}
    settings = directory.recipe.evaluation.bounds.model_dump()
    return validated("bounds", Bounds, settings | {name: value for name, value in given.items() if value is not None})


def _judge_settings(job: SweepJob, directory: RunDirectory) -> JudgeSettings | None:
    """The held-out judge: the one that is named, or the run's own; None if there is neither."""
    if job.judge is None:
        if job.constitution is not None:
            raise UsageError("a constitution is for a held-out judge; name the judge's model too")
        return directory.recipe.held_out_judge
    check_name(job.judge)
    scoring = directory.recipe.training_judge
    of_run = None if scoring is None or scoring.by_rubric is not None else scoring.constitution
    name = job.constitution or of_run
    if name is None:
        raise UsageError("the run has no constitution of its own to judge by; name one")
    load_constitution(name)
    return JudgeSettings(model=job.judge, constitution=name, asking=job.asking)


def _title(directory: RunDirectory) -> str:
    recipe = directory.recipe
    return f"{directory.path.resolve().name}: {recipe.title}, seed {recipe.seed}"


def _policy(session: Session) -> Policy:
    """The policy as it was before the run trained it."""
    policy = session.open_policy(session.directory.base)
    session.pin("policy", policy.base.identity)
    return policy


def _prompts(given: list[Prompt], session: Session, policy: Policy) -> tuple[list[Prompt], list[Prompt], int]:
    """The prompts that fit the policy's context window, those of them that choose the best checkpoint, and how many of
    them the run trained on. If none are given, the prompts that the run held out.
    """
    count = _counted(session.recipe)
    split = session.split(count)
    if not given:
        return split.held_out, split.validation, 0
    usable = within_window(given, policy.base, session.recipe.heldout_decoding.max_new_tokens, count)
    if not usable:
        raise UsageError(f"none of the {len(given)} prompts fits the policy's context window; give shorter ones")
    if skipped := len(given) - len(usable):
        session.progress.note(f"{skipped} prompts do not fit the policy's context window and are skipped")
    seen = {prompt.text for prompt in split.training} | {
        demonstration.prompt.text for demonstration in session.inputs.demonstrations
    }
    share = session.recipe.evaluation.validation_share
    validation = split_validation(usable, share, LEAST)[0] if len(usable) >= 2 * LEAST else []
    return usable, validation, sum(prompt.text in seen for prompt in usable)


def _counted(recipe: Recipe) -> Callable[[LocalModel, Prompt], int]:
    """Counts the tokens of a prompt, with an agent's tools."""
    if isinstance(recipe, AgentRecipe):
        return partial(tokens_with_tools, load_environment(recipe.environment.name))
    return partial(prompt_tokens, thinking=recipe.thinking)


def _sampler(recipe: Recipe, policy: Policy) -> AbstractContextManager[Sampler | None]:
    """The sampler of an agent's episodes; None for a policy that answers in one turn."""
    if isinstance(recipe, AgentRecipe):
        return acting(recipe, load_environment(recipe.environment.name), policy)
    return nullcontext()


def _grader(session: Session, ledger: Ledger) -> tuple[Grader | None, str | None]:
    """The source of the training reward, and its name: the reward model if there was one, else the judge."""
    recipe, constitution = session.recipe, session.inputs.constitution
    grader: Grader | None = None
    if (reward_model := recipe.table(RewardModelTable)) is not None:
        grader = RewardModelGrader(open_reward_model(session, reward_model))
    elif recipe.training_judge is not None and constitution is not None:
        judge = RunJudge(recipe.training_judge, constitution, ledger, session.directory)
        acts = isinstance(recipe, AgentRecipe)
        grader = judge.trajectory_grader(steps=bool(recipe.agent.steps)) if acts else judge.grader
    words = judge_score_is(recipe, grader)
    apart = ", without the reward functions" if recipe.reward_functions else ""
    return grader, words and f"{words}{apart}"


def _begun(
    job: SweepJob,
    policy: Policy,
    prompts: Sequence[Prompt],
    held_out: HeldOut | None,
    judge: JudgeSettings | None,
    samples: int,
) -> JsonObject:
    """What identifies the sweep in a folder, so that it is resumed only with the same inputs."""
    return {
        "run": read_json(job.run / "inputs.json")["recipe"],
        "policy": policy.base.identity,
        "prompts": content_hash([prompt.model_dump(mode="json") for prompt in prompts])[:16],
        "held-out measure": None if held_out is None else held_out.identity,
        "constitution": None if judge is None else load_constitution(judge.constitution).hash,
        "samples": samples,
    }


def _measured(
    out: Path, session: Session, meter: Meter, prompts: Sequence[Prompt], step: int, samples: int
) -> Snapshot:
    """The measurement of a checkpoint; made now, unless an earlier process finished it."""
    path = _file_of(out, step)
    if not path.exists():
        session.progress.stage(f"measuring checkpoint {step}")
        if session.files.checkpoint(step).exists():
            session.files.load_checkpoint(meter.policy, step)
        measured = meter.measure("sweep", prompts, samples)  # the same name gives the same random numbers
        write_text(path, measured.model_dump_json(indent=1) + "\n")
    try:
        snapshot = Snapshot.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: is damaged ({reason}); delete it and start the same work again") from error
    session.progress.measured(step, snapshot.facts)
    return snapshot


def _part(session: Session, out: Path, steps: Sequence[int], responses: int) -> Part:
    """The remaining work, for the estimate of the time left."""
    left = sum(not _file_of(out, step).exists() for step in steps)
    return Part("measuring checkpoint", left, responses * session.recipe.heldout_decoding.max_new_tokens, MEASURING)


def _file_of(out: Path, step: int) -> Path:
    return out / "checkpoints" / f"step-{step:06d}.json"


def _answers(snapshots: Sequence[Snapshot], prompts: Sequence[Prompt]) -> list[Answer]:
    """Every response, under its step."""
    prompt_of = {prompt.id: prompt for prompt in prompts}
    return [
        (str(snapshot.step), prompt_of[response.prompt_id], Response(prompt_id=response.prompt_id, text=response.text))
        for snapshot in snapshots
        for response in snapshot.responses
    ]


def _facts(job: SweepJob, policy: Policy, bounds: Bounds) -> JsonObject:
    counted: dict[str, str] = {}
    for who, name in (("training judge", TRAINING_LEDGER), ("held-out judge", HELD_OUT_LEDGER)):
        if (job.out / name).exists() and (calls := calls_by_role([job.out / name])[JUDGE]).calls:
            counted[who] = f"{calls.calls:,} calls, {calls.failures} failed, {calls.tokens:,} tokens"
    return {
        "run": str(job.run),
        "policy": policy.base.identity,
        **counted,
        "bounds": bounds.model_dump(mode="json"),
        "versions": {**environment()},
    }
