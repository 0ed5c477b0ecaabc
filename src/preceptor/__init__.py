"""preceptor: align a language model with AI feedback, and measure whether the feedback can be trusted.

Examples:
    >>> import preceptor as pc
    >>> judge = pc.Judge("embedded", constitution="helpful")
    >>> judge.compare("Why is the sky blue?", a="Rayleigh scattering.", b="Because.")  # doctest: +SKIP

Names are imported when they are first used, so that `import preceptor` takes milliseconds and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection
    from preceptor.core.errors import PreceptorError, UsageError
    from preceptor.core.rubric import Rubric, RubricItem
    from preceptor.core.types import (
        Comparison,
        HumanLabel,
        JudgeFailure,
        Message,
        Preference,
        Prompt,
        Response,
        Score,
        Verdict,
    )
    from preceptor.core.usage import Usage
    from preceptor.environments.episodes import Episode, EpisodeResult, Observation
    from preceptor.environments.for_trl import trl_environment
    from preceptor.environments.loading import environment_rows, load_environment, load_tools
    from preceptor.environments.pool import EnvironmentPool
    from preceptor.environments.protocol import Environment
    from preceptor.judging.constitution import Constitution, load_constitution
    from preceptor.judging.construction import ConstructionSettings
    from preceptor.judging.groundedness import ClaimVerdict, GroundedScore
    from preceptor.judging.judge import Judge
    from preceptor.judging.revision import RevisionSettings
    from preceptor.judging.rubrics.aggregate import RubricScore
    from preceptor.judging.settings import PairwiseSettings
    from preceptor.judging.specs import JudgeSpec
    from preceptor.methods.arms import arms
    from preceptor.methods.paper.plan import plan_reproduction
    from preceptor.methods.paper.reproduce import reproduce
    from preceptor.methods.run import resume, run
    from preceptor.methods.sweep import sweep
    from preceptor.methods.train_judge import train_judge
    from preceptor.methods.train_reward import train_reward
    from preceptor.recipes.base import Recipe
    from preceptor.recipes.load import dump_recipe, load_recipe
    from preceptor.recipes.shipped import list_recipes
    from preceptor.results.agreement import AgreementResult
    from preceptor.results.arms import ArmsResult
    from preceptor.results.audit import AuditResult
    from preceptor.results.cohort import CohortResult
    from preceptor.results.comparison import ComparisonResult
    from preceptor.results.construction import ConstructionResult
    from preceptor.results.estimate import EstimateResult
    from preceptor.results.evaluation import EvaluationResult
    from preceptor.results.label import LabelPlan, LabelResult
    from preceptor.results.publication import Publication
    from preceptor.results.reproduction import ReproductionPlan, ReproductionResult
    from preceptor.results.revision import RevisionResult
    from preceptor.results.reward_model import RewardModelResult
    from preceptor.results.rubrics import RubricAuditResult, RubricsPlan, RubricsResult, RubricWritingSettings
    from preceptor.results.shipped import EngineConfig, InitResult, ModelsResult, RecipesResult
    from preceptor.results.step_audit import StepAuditResult
    from preceptor.results.sweep import SweepResult
    from preceptor.results.trained_judge import TrainedJudgeResult
    from preceptor.results.trajectories import TrajectoriesResult
    from preceptor.results.tuning import TuneResult
    from preceptor.runs.result import RunResult, load_run
    from preceptor.serve.service import open_service
    from preceptor.store.benchmarks.read import read_benchmark
    from preceptor.store.preference_row import PreferenceRow
    from preceptor.store.rubrics import read_rubric
    from preceptor.studio.serve import open_studio
    from preceptor.tasks.agreement import agreement
    from preceptor.tasks.audit import audit
    from preceptor.tasks.candidates import Answering, Sampling
    from preceptor.tasks.cohort import cohort
    from preceptor.tasks.compare.compare import compare
    from preceptor.tasks.construct import construct
    from preceptor.tasks.engine_config import engine_config
    from preceptor.tasks.estimate import estimate
    from preceptor.tasks.evaluate.evaluate import evaluate
    from preceptor.tasks.init import init
    from preceptor.tasks.label import label, plan_label
    from preceptor.tasks.models import models
    from preceptor.tasks.publish import publish
    from preceptor.tasks.report import report
    from preceptor.tasks.revise import revise
    from preceptor.tasks.rubrics.audit import audit_rubrics
    from preceptor.tasks.rubrics.write import plan_rubrics, write_rubrics
    from preceptor.tasks.step_audit import audit_steps
    from preceptor.tasks.trajectories import trajectories
    from preceptor.tasks.tune.tune import tune

__all__ = [
    "AgreementResult",
    "Answering",
    "ArmsResult",
    "AuditResult",
    "ClaimVerdict",
    "CohortResult",
    "Comparison",
    "ComparisonResult",
    "Connection",
    "Constitution",
    "ConstructionResult",
    "ConstructionSettings",
    "EngineConfig",
    "Environment",
    "EnvironmentPool",
    "Episode",
    "EpisodeResult",
    "EstimateResult",
    "EvaluationResult",
    "GroundedScore",
    "HumanLabel",
    "InitResult",
    "Judge",
    "JudgeFailure",
    "JudgeSpec",
    "LabelPlan",
    "LabelResult",
    "Message",
    "ModelsResult",
    "Observation",
    "PairwiseSettings",
    "PreceptorError",
    "Preference",
    "PreferenceRow",
    "Prompt",
    "Publication",
    "Recipe",
    "RecipesResult",
    "ReproductionPlan",
    "ReproductionResult",
    "Response",
    "RevisionResult",
    "RevisionSettings",
    "RewardModelResult",
    "Rubric",
    "RubricAuditResult",
    "RubricItem",
    "RubricScore",
    "RubricWritingSettings",
    "RubricsPlan",
    "RubricsResult",
    "RunResult",
    "Sampling",
    "Score",
    "StepAuditResult",
    "SweepResult",
    "TrainedJudgeResult",
    "TrajectoriesResult",
    "TuneResult",
    "Usage",
    "UsageError",
    "Verdict",
    "__version__",
    "agreement",
    "arms",
    "audit",
    "audit_rubrics",
    "audit_steps",
    "cohort",
    "compare",
    "construct",
    "dump_recipe",
    "engine_config",
    "environment_rows",
    "estimate",
    "evaluate",
    "init",
    "label",
    "list_recipes",
    "load_constitution",
    "load_environment",
    "load_recipe",
    "load_run",
    "load_tools",
    "models",
    "open_service",
    "open_studio",
    "plan_label",
    "plan_reproduction",
    "plan_rubrics",
    "publish",
    "read_benchmark",
    "read_rubric",
    "report",
    "reproduce",
    "resume",
    "revise",
    "run",
    "sweep",
    "train_judge",
    "train_reward",
    "trajectories",
    "trl_environment",
    "tune",
    "write_rubrics",
]

_PLACES = {
    "backends.connection": "Connection",
    "core.errors": "PreceptorError UsageError",
    "core.rubric": "Rubric RubricItem",
    "core.types": "Comparison HumanLabel JudgeFailure Message Preference Prompt Response Score Verdict",
    "core.usage": "Usage",
    "environments.episodes": "Episode EpisodeResult Observation",
    "environments.for_trl": "trl_environment",
    "environments.loading": "environment_rows load_environment load_tools",
    "environments.pool": "EnvironmentPool",
    "environments.protocol": "Environment",
    "judging.constitution": "Constitution load_constitution",
    "judging.construction": "ConstructionSettings",
    "judging.groundedness": "ClaimVerdict GroundedScore",
    "judging.judge": "Judge",
    "judging.revision": "RevisionSettings",
    "judging.rubrics.aggregate": "RubricScore",
    "judging.settings": "PairwiseSettings",
    "judging.specs": "JudgeSpec",
    "methods.arms": "arms",
    "methods.paper.plan": "plan_reproduction",
    "methods.paper.reproduce": "reproduce",
    "methods.run": "resume run",
    "methods.sweep": "sweep",
    "methods.train_judge": "train_judge",
    "methods.train_reward": "train_reward",
    "recipes.base": "Recipe",
    "recipes.load": "dump_recipe load_recipe",
    "recipes.shipped": "list_recipes",
    "results.agreement": "AgreementResult",
    "results.arms": "ArmsResult",
    "results.audit": "AuditResult",
    "results.cohort": "CohortResult",
    "results.comparison": "ComparisonResult",
    "results.construction": "ConstructionResult",
    "results.estimate": "EstimateResult",
    "results.evaluation": "EvaluationResult",
    "results.label": "LabelPlan LabelResult",
    "results.publication": "Publication",
    "results.revision": "RevisionResult",
    "results.reproduction": "ReproductionPlan ReproductionResult",
    "results.reward_model": "RewardModelResult",
    "results.rubrics": "RubricAuditResult RubricWritingSettings RubricsPlan RubricsResult",
    "results.shipped": "EngineConfig InitResult ModelsResult RecipesResult",
    "results.step_audit": "StepAuditResult",
    "results.sweep": "SweepResult",
    "results.trained_judge": "TrainedJudgeResult",
    "results.trajectories": "TrajectoriesResult",
    "results.tuning": "TuneResult",
    "runs.result": "RunResult load_run",
    "serve.service": "open_service",
    "store.preference_row": "PreferenceRow",
    "store.benchmarks.read": "read_benchmark",
    "store.rubrics": "read_rubric",
    "studio.serve": "open_studio",
    "tasks.agreement": "agreement",
    "tasks.audit": "audit",
    "tasks.candidates": "Answering Sampling",
    "tasks.cohort": "cohort",
    "tasks.compare.compare": "compare",
    "tasks.construct": "construct",
    "tasks.engine_config": "engine_config",
    "tasks.estimate": "estimate",
    "tasks.evaluate.evaluate": "evaluate",
    "tasks.init": "init",
    "tasks.label": "label plan_label",
    "tasks.models": "models",
    "tasks.publish": "publish",
    "tasks.report": "report",
    "tasks.revise": "revise",
    "tasks.rubrics.audit": "audit_rubrics",
    "tasks.rubrics.write": "plan_rubrics write_rubrics",
    "tasks.step_audit": "audit_steps",
    "tasks.trajectories": "trajectories",
    "tasks.tune.tune": "tune",
}
"""The modules that define the public API, each with the names that it defines."""
_MODULES = {name: f"preceptor.{place}" for place, names in _PLACES.items() for name in names.split()}

__version__: str


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slower than everything else that `preceptor --help` does

        return version("preceptor")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
