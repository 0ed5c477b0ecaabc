"""A task of verifiers whose reward is a judge's score. Needs `pip install verifiers`.

    python examples/verifiers_judge.py

Scores a trace with a response of its own, in place of a rollout: no model server is needed.
"""

import asyncio
from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]

from preceptor.integrations.verifiers import PreceptorJudge, PreceptorJudgeConfig

JUDGE = PreceptorJudgeConfig(model="embedded", constitution="warm_tone")


class KindTask(vf.Task[vf.TaskData]):  # pyright: ignore[reportUntypedBaseClass]
    """A prompt, scored by a judge."""

    @vf.reward  # pyright: ignore[reportUntypedFunctionDecorator]
    async def warm(self, trace: Any) -> float:
        """From 0 to 1; an error of the trace if the judge fails."""
        return await PreceptorJudge(JUDGE).score(self.data, trace)


async def main() -> None:
    """Scores one response."""
    task = KindTask(vf.TaskData(prompt="Say something kind to a tired nurse."))
    recorded = vf.TraceTask(type="KindTask", data=task.data, hash=task.hash, key=task.key)
    trace = vf.Trace(task=recorded, agent=vf.AgentInfo(config=vf.AgentConfig()))
    trace.root_reply = "Thank you for everything you do. I hope you can rest soon."
    await task.score(trace)
    print(f"reward {trace.reward:.2f}, {len(trace.info['judge_calls'])} call of the judge")


if __name__ == "__main__":
    asyncio.run(main())
