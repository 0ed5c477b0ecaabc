"""A measured episode of an agent for tests of pages; what its call and its tool say is hostile."""

from preceptor.core.types import FunctionCall, Message, ToolCall
from preceptor.environments.episodes import EpisodeResult
from preceptor.environments.outcomes import EpisodeOutcome
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse
from run_examples import SCRIPT


def episode(task: int, done: bool | None, *, errors: int = 0, steps: tuple[float, ...] = ()) -> MeasuredResponse:
    """Two turns on a task, a call and an answer; with `done` as None, its environment broke."""
    call = ToolCall(id="1", function=FunctionCall(name="calculate", arguments=f'{{"expression": "{SCRIPT}"}}'))
    trajectory = (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=f"result {task} {SCRIPT}", name="calculate", tool_call_id="1"),
        Message(role="assistant", content=f"answer {task}"),
    )
    failure = None if done is not None else f"its process died {SCRIPT}"
    return MeasuredResponse(
        prompt_id=f"{task}", cohort="ab"[task % 2], prompt=f"task {task}", text=f"answer {task}", tokens=9,
        finished=True, kl=0.1, judge_score=0.5 if done else -0.25, choice_mass=1.0,
        heldout_score=None if done is None else float(done), trajectory=trajectory, steps=steps,
        episode=EpisodeOutcome(
            result=EpisodeResult(reward=None if done is None else float(done), success=done, failure=failure),
            ending="answered" if done is not None else "environment", turns=2, tool_calls=1, tool_errors=errors,
        ),
    )  # fmt: skip
