"""Direct RLAIF in an environment: from tasks and tools to an agent that does more of them, and its report.

The policy works on tasks over several turns, calling the environment's tools. Whether a task was done, a judge's score
of the whole episode, and its scores of single turns are the reward, with any weights, and RL makes rewarded episodes
more likely. On tasks that training never sees, the environment says how often the policy succeeds.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from preceptor.backends.transformers.chat import encode_conversation
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.types import Prompt
from preceptor.environments.loading import EnvironmentClass, load_environment
from preceptor.environments.pool import EnvironmentPool
from preceptor.methods.base import Method
from preceptor.methods.parts.comparing import score_rewards
from preceptor.methods.parts.fine_tuning import fine_tuned_first
from preceptor.methods.parts.reinforcement import train_by_rl
from preceptor.recipes.agent import AgentRecipe
from preceptor.recipes.environments import AgentSettings
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Alignment
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.session import Session
from preceptor.training.policy import Policy
from preceptor.training.rl.rewards import EnvironmentReward, RewardSource, WeightedReward, WithStepScores
from preceptor.training.rl.turns import TurnSampler


class Agent(Method[AgentRecipe]):
    """The environment's and the judge's opinion of an episode is its reward."""

    schema = AgentRecipe

    def run(self, session: Session, recipe: AgentRecipe) -> RunSummary:
        """Measures the policy in the environment, trains it there by RL, and keeps its best checkpoint."""
        environment = load_environment(recipe.environment.name)
        prompts = session.split(partial(prompt_tokens, environment))
        base = fine_tuned_first(session, environment.tools)
        session.progress.stage("loading the models")
        policy = session.open_policy(base, recipe.rl)
        with judging(session) as judge, acting(recipe, environment, policy) as sampler:
            rewards = self.reward(recipe, judge) if session.processes.is_main else None
            grader = judge and judge.trajectory_grader(steps=bool(recipe.agent.steps))
            alignment = Alignment(session, policy, prompts, judge, grader, sampler)
            alignment.begin(recipe.rl.steps, recipe.rl.tokens_per_step)
            steps = train_by_rl(session, policy, rewards, prompts.training, recipe.rl, alignment.look, sampler=sampler)
            return alignment.end(steps)

    def reward(self, recipe: AgentRecipe, judge: RunJudge | None) -> RewardSource:
        """The reward of training: the environment's and the judge's, weighted.

        Args:
            judge: None if the recipe has no judge.
        """
        return episode_reward(recipe.agent, judge)


@contextmanager
def acting(recipe: AgentRecipe, environment: EnvironmentClass, policy: Policy) -> Generator[TurnSampler]:
    """The sampler of a policy's episodes, with environments of this process's own."""
    with EnvironmentPool(environment, recipe.environment.limits) as pool:
        yield TurnSampler(policy, pool, recipe.turns)


def prompt_tokens(environment: EnvironmentClass, model: LocalModel, prompt: Prompt) -> int:
    """How many tokens a task takes with the tools, without what `reset` appends."""
    return len(encode_conversation(model.tokenizer, prompt.conversation, tools=environment.tools))


def episode_reward(weights: AgentSettings, judge: RunJudge | None) -> RewardSource:
    """The weighted reward of whole episodes, with scores of turns if they have a weight."""
    parts: dict[str, tuple[RewardSource, float]] = {}
    if weights.environment:
        parts["environment"] = (EnvironmentReward(), weights.environment)
    if weights.judge:
        assert judge is not None  # the recipe was checked
        parts["judge"] = (score_rewards(judge), weights.judge)
    whole: RewardSource = WeightedReward(list(parts.values()), list(parts), weights.aggregation)
    if not weights.steps:
        return whole
    assert judge is not None  # the recipe was checked
    return WithStepScores(whole, judge.step_judge, weights.steps, judge.scorer if weights.judge else None)
