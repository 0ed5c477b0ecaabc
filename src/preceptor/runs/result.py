"""A finished run in Python: its numbers, its models, and the reasons to doubt the result."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from preceptor.backends.base import CompleteRequest, LanguageModel, in_order
from preceptor.backends.resolve import open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.numbers import estimate
from preceptor.core.progress import Facts
from preceptor.core.types import JudgeFailure, Prompt
from preceptor.core.validation import check_count
from preceptor.display.table import Column, Table
from preceptor.evaluation.checkpoints.snapshot import MeasureName, Measures
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.result import Evaluation
from preceptor.judging.inputs import PromptLike, as_prompt
from preceptor.judging.render import PLAIN_STOP, plain_request
from preceptor.reports.run.page import headline, judge_doubts, warnings
from preceptor.reports.run.rounds import rounds_in_lines
from preceptor.results.rounds import RoundsRecord
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory, how_to_resume
from preceptor.runs.evaluation import evaluate_run
from preceptor.store.output import Output, output_folder

_ROWS: tuple[tuple[MeasureName, str], ...] = (
    ("heldout_score", "held-out score"),
    ("judge_score", ""),  # the summary says what it is
    ("kl", "KL to the base, nats"),
    ("reference_perplexity", "perplexity on references"),
    ("distinct_2", "distinct-2"),
    ("tokens_mean", "tokens per response"),
)


class RunResult:
    """A finished run.

    Examples:
        >>> run = RunResult.load("runs/quickstart-1")  # doctest: +SKIP
        >>> run.held_out_change.value, run.best, run.generate("Hello")  # doctest: +SKIP

    Args:
        output: the run directory.

    Raises: UsageError when it holds no run, or an unfinished one; PreceptorError when its summary is damaged.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self.directory = RunDirectory.open(output.path)
        summary = self.directory.finished()
        if summary is None:
            raise UsageError(f"{output.path}: this run is not finished; resume it: {how_to_resume(output.path)}")
        self.summary: RunSummary = summary
        """Every number of the run, as in `summary.json`."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Loads the finished run in a directory.

        Raises: as `RunResult`.
        """
        return cls(output_folder(path))

    @property
    def path(self) -> Path:
        """The run directory. A temporary directory is deleted with the last result that refers to it."""
        return self._output.path

    def __fspath__(self) -> str:
        """The run directory as text, so that a run can be used where a path is expected."""
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunResult):
            return False
        return self._output == other._output and self.summary == other.summary

    def __hash__(self) -> int:
        return hash(self._output)

    @property
    def held_out_change(self) -> Estimate | None:
        """Mean change of the held-out score on the test prompts, paired by prompt; None if nothing independent measured
        the run.
        """
        return self.summary.heldout_change

    @property
    def best(self) -> str:
        """The kept checkpoint, as a model string."""
        return str(self.directory.merged if self.directory.merged.exists() else self.directory.best)

    @property
    def base(self) -> str:
        """The policy before alignment, as a model string: the recipe's policy, or that policy after fine-tuning on
        demonstrations.
        """
        return self.directory.base

    @property
    def rounds(self) -> RoundsRecord | None:
        """What became of each round; None of a run without rounds."""
        return self.summary.rounds

    @property
    def report(self) -> Path:
        """The report, an HTML page that opens offline."""
        return self.directory.report

    @property
    def curve(self) -> tuple[Measures, ...]:
        """What was measured before training and at each checkpoint, on validation prompts."""
        return self.summary.curve

    @cached_property
    def metrics(self) -> list[Facts]:
        """The numbers of each training step: reward, loss, KL and so on, depending on the method."""
        return self.directory.metrics()

    @cached_property
    def evaluation(self) -> Evaluation:
        """The comparison of the policy after training with the one before, on the test prompts."""
        known = self.directory.read_evaluation()
        if known is not None:
            return known
        data = self.directory.report_data(self.summary)
        return evaluate_run(data.before, data.after, self.summary)

    @property
    def headline(self) -> str:
        """The result in a few sentences. Reasons to doubt it come first."""
        return headline(self.summary, self.evaluation)

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the result, those to doubt the judges first, the gravest first."""
        return warnings(self.summary, self.evaluation)

    def generate(
        self, prompt: PromptLike, *, max_new_tokens: int = 256, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """The kept checkpoint's answer to a prompt.

        Args:
            prompt: a user's message, or a conversation that ends with one.
            max_new_tokens: the maximum length of the answer.
            temperature: 0 decodes greedily.
            seed: seed of the random numbers, if the temperature is above 0.

        Raises: UsageError for a malformed prompt or a value out of bounds; PreceptorError when there is no answer.
        """
        check_count("max_new_tokens", max_new_tokens)
        if not temperature >= 0.0:
            raise UsageError(f"temperature = {temperature!r}: expected 0 or more")
        asked = as_prompt(prompt)
        [answer] = self._answers([asked], max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        return answer

    def _answers(self, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        model, thinking = self._model, self.directory.recipe.thinking
        requests = [
            CompleteRequest(
                prompt.conversation if model.chat else plain_request(prompt),
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                stop=() if model.chat else PLAIN_STOP,
                seed=seed,
                thinking=thinking and thinking.asked(seed),
            )
            for prompt in prompts
        ]
        answers: list[str] = []
        for answer in in_order(model.complete(requests), len(requests)):
            if isinstance(answer, JudgeFailure):
                raise PreceptorError(f"{self.best}: gave no answer: {answer.reason}: {answer.detail}")
            if answer.thought_cut:
                raise PreceptorError(f"{self.best}: gave no answer: its thought did not end within its limit")
            answers.append(answer.text.strip())
        return answers

    @cached_property
    def _model(self) -> LanguageModel:
        return open_model(self.best)

    def table(self) -> Table:
        """The measures before and after training, with reasons to doubt them."""
        summary, of_run = self.summary, self.summary.evaluation
        doubts = judge_doubts(summary, self.evaluation)
        rows = [
            (
                name or str(summary.judge_score_is),
                estimate(of_run.before.measure(key).overall),
                estimate(of_run.after.measure(key).overall),
            )
            for key, name in _ROWS
            if not (key == "judge_score" and summary.judge_score_is is None)
            and not (key == "heldout_score" and summary.heldout_score_is is None)
        ]
        return Table(
            (Column("measure"), Column("before", "right"), Column(f"after ({summary.kept})", "right")),
            rows,
            title=f"{summary.prompts.measured} test prompts, 95% intervals",
            warnings=doubts,
            notes=[self.headline, *(f"! {warning}" for warning in self.warnings[len(doubts) :]), *self._notes()],
        )

    def _notes(self) -> list[str]:
        """Calls and time of the run, and where its models and its report are."""
        summary = self.summary
        minutes, seconds = divmod(round(summary.wall_s), 60)
        calls = f"{summary.judge_calls} judge calls, {summary.judge_failures} failed; " if summary.judge else ""
        of_model = summary.reward_model
        places = (("model", self.directory.best), ("merged", self.directory.merged), ("report", self.report))
        return [
            *([] if self.rounds is None else rounds_in_lines(self.rounds)),
            *([f"reward model on held-out pairs: {of_model.in_words}"] if of_model is not None else []),
            f"{calls}{minutes}:{seconds:02d} in all",
            *(f"{name:7}{path}" for name, path in places if path.exists()),
        ]

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"RunResult({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()  # pyright: ignore[reportPrivateUsage]


def load_run(path: str | Path) -> RunResult:
    """Loads the finished run in a directory.

    Raises: UsageError when there is no run, or it is not finished; PreceptorError when it is damaged.
    """
    return RunResult.load(path)
