"""The policies of an evaluation, as the user names them."""

from collections.abc import Sequence
from pathlib import Path

from preceptor.backends.names import check_name, holds_model, without_server
from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen, NonEmpty
from preceptor.runs.directory import how_to_resume
from preceptor.runs.lineage import as_run
from preceptor.store.reading import resolved

REFERENCES, ANSWERED = "references", "answered"
"""Sources that stand for the prompts' reference answers, and for the answers given in production."""
_FILES = (".jsonl", ".parquet")


class EvaluatedPolicy(Frozen):
    """A named policy, and where its responses come from."""

    name: NonEmpty
    """For tables and figures."""
    source: NonEmpty
    """A model string, a run directory, a file of responses, `references` or `answered`."""

    @property
    def is_file(self) -> bool:
        """Whether its responses are read from a file."""
        return self.source.endswith(_FILES)

    @property
    def model(self) -> str | None:
        """The model to sample from; for a run directory its chosen checkpoint. None if nothing is sampled."""
        if self.is_file or self.source in (REFERENCES, ANSWERED):
            return None
        run = as_run(self.source)
        if run is None:
            return self.source
        return str(run.merged if run.merged.exists() else run.best)


def parse_policies(texts: Sequence[str]) -> tuple[EvaluatedPolicy, ...]:
    """Parses policies from `NAME=SOURCE` or `SOURCE`, the baseline first, and checks them with `check_policies`.

    Raises: UsageError as `check_policies`.
    """
    return check_policies([_parse(text) for text in texts])


def check_policies(policies: Sequence[EvaluatedPolicy]) -> tuple[EvaluatedPolicy, ...]:
    """Returns the policies; for a single run directory, its untrained policy as "base" and its result as "tuned".

    Raises: UsageError for fewer than two policies, two with the same name, and a source that does not exist.
    """
    run = as_run(policies[0].source) if len(policies) == 1 else None
    if run is not None:
        base = EvaluatedPolicy(name="base", source=run.recipe.policy)
        policies = (base, EvaluatedPolicy(name="tuned", source=policies[0].source))
    if len(policies) < 2:
        raise UsageError("name two or more policies, the baseline first; or the directory of one run")
    if len({policy.name for policy in policies}) < len(policies):
        raise UsageError("two policies have the same name; give each its own by NAME=SOURCE")
    for policy in policies:
        _check_source(policy)
    return tuple(policies)


def _parse(text: str) -> EvaluatedPolicy:
    name, equals, source = text.partition("=")
    if text and (not equals or Path(text).exists()):
        model = without_server(text)
        return EvaluatedPolicy(name=resolved(Path(model)).name.removesuffix(".jsonl"), source=text)
    if not name or not source:
        raise UsageError(f'"{text}": expected NAME=SOURCE or SOURCE')
    return EvaluatedPolicy(name=name, source=source)


def _check_source(policy: EvaluatedPolicy) -> None:
    if policy.is_file and not Path(policy.source).exists():
        raise UsageError(f"{policy.source}: there is no such file of responses")
    if policy.model is None:
        return
    run = as_run(policy.source)
    if run is not None and not Path(policy.model).exists():
        raise UsageError(
            f"{policy.source}: this run is not finished and has no chosen checkpoint yet; resume it: "
            f"{how_to_resume(policy.source)}"
        )
    source = Path(policy.model)
    if policy.model != "embedded" and source.exists() and not holds_model(source):
        raise UsageError(
            f"{policy.source}: is neither a run, nor a model (a folder with a config.json, or a .gguf file), nor a "
            f"file of responses ({' or '.join(_FILES)})"
        )
    check_name(policy.model)
