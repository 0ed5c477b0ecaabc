"""RLOO, GRPO and online DPO by TRL's trainers. A step has the prompts, the sampling, the rewards and the facts of the
native engine; which responses are sampled differs, because TRL samples with other random numbers.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.utils import add_fused_lm_head, use_adapter

from preceptor.backends.transformers.attention import as_in_training
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.training.memory import memory_for
from preceptor.training.optimizer import learning_rate_factor
from preceptor.training.policy import FOR_LESS_MEMORY, Policy
from preceptor.training.processes import Processes
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import RewardSource
from preceptor.training.rl.rewards.source import all_equal, known_of
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.steps import TrainingContext
from preceptor.training.trl.arguments import Quiet, common_arguments, made, quietly, refusals
from preceptor.training.trl.callback import Logs, StepsOnTrl, Unwrapped
from preceptor.training.trl.checks import objective_on_trl
from preceptor.training.trl.divided import divides, model_to_train
from preceptor.training.trl.episodes import EpisodesOnTrl, check_whole
from preceptor.training.trl.online_dpo import pair_advantages
from preceptor.training.trl.order import PromptOrder
from preceptor.training.trl.progress import told
from preceptor.training.trl.rewards import StepRewards
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings


@dataclass
class _Run:
    """What a trainer needs of the run, and what it measures for its facts."""

    policy: Policy
    prompts: dict[str, Prompt]
    order: Sequence[Prompt]
    settings: RLSettings
    seed: int
    processes: Processes
    began: float = 0.0
    sampling: float = 0.0
    """Seconds."""
    kl: float = 0.0
    """Mean over the step's responses of Σ (log π - log π_ref), in nats."""
    flat_groups: int = 0
    loss: float | None = None
    """Of the step, where the trainer's own loss is another with the same gradient."""

    @property
    def most(self) -> int:
        """Most tokens of a response, its thought included."""
        budget = self.policy.format.budget(self.settings.max_new_tokens)
        return self.settings.max_new_tokens if budget is None else budget.whole


class _OursOnTrl(Quiet):
    """What both trainers do as the native engine does: the order of prompts, their tokens, the schedule, random numbers
    that depend on the seed and the step alone, and the KL of every step.
    """

    run: _Run

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        trainer: Any = self
        return PromptOrder(
            self.run.order,
            self.run.settings,
            self.run.seed,
            repeats=trainer.num_iterations * trainer.args.steps_per_generation,
        )

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """The tokens of prompts, which are given by their ids."""
        run = self.run
        return [list(run.policy.encode(run.prompts[prompt])) for prompt in prompts], None, {}

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """The native engine's schedule, by steps."""
        trainer: Any = self
        settings, updates = self.run.settings, self.run.settings.updates_per_step
        if trainer.lr_scheduler is None:
            trainer.lr_scheduler = LambdaLR(
                optimizer or trainer.optimizer,
                lambda update: learning_rate_factor(update // updates + 1, settings, settings.steps),
            )
            trainer._created_lr_scheduler = True
        return trainer.lr_scheduler

    def _generate_single_turn(self, *args: Any, **more: Any) -> Any:
        """Samples; thoughts and answers are cut at their limits, which TRL does not know."""
        sampled = super()._generate_single_turn(*args, **more)  # type: ignore[misc]
        budget = self.run.policy.format.budget(self.run.settings.max_new_tokens)
        if budget is None:
            return sampled
        if not isinstance(sampled, tuple):
            return [list(budget.cut(ids)) for ids in sampled]
        given: tuple[list[list[int]], list[list[float]] | None] = sampled  # GRPO's have log-probabilities from vLLM
        kept = [list(budget.cut(ids)) for ids in given[0]]
        if given[1] is None:
            return kept, None
        return kept, [log_probs[: len(ids)] for ids, log_probs in zip(kept, given[1], strict=True)]

    def _generate(self, prompts: list[str]) -> Any:
        began = time.perf_counter()
        trainer: Any = self
        try:
            with told(trainer.accelerator.unwrap_model(trainer.model), self.run.most):
                generated = super()._generate(prompts)  # type: ignore[misc]
        except RuntimeError as error:
            if "probability tensor" not in str(error):
                raise
            step, rate = self.run.policy.step, self.run.settings.learning_rate
            raise PreceptorError(
                f"training diverged at step {step}: the policy gives no probabilities any more; {_lower(rate)}"
            ) from error
        self.run.sampling = time.perf_counter() - began
        return generated

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        trainer: Any = self
        run = self.run
        run.began = time.perf_counter()
        step = trainer.state.global_step // run.settings.updates_per_step + 1
        torch.manual_seed(derive_seed(run.seed, "rollout", step, run.processes.index))
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        kl_B = trainer.accelerator.gather(self._kl(output)).cpu()
        rewards_B = torch.tensor(list(trainer._logs["rewards"][trainer.reward_func_names[0]]))  # NaN where missing
        beta = run.settings.kl_coefficient if run.settings.algorithm == "rloo" else 0.0
        learned_PG = (rewards_B - beta * kl_B).view(-1, run.settings.group_size).tolist()
        # TRL's own advantages of equal rewards are 0 but for rounding, which GRPO's division makes visible
        run.flat_groups = sum(len(known_of(row)) < 2 or all_equal(row) for row in learned_PG)
        run.kl = float(kl_B.mean())
        return output

    def _get_per_token_logps_and_entropies(self, *args: Any, **more: Any) -> Any:
        with as_in_training():  # old log-probabilities as those of the update: at first the ratio is exactly 1
            return super()._get_per_token_logps_and_entropies(*args, **more)  # type: ignore[misc]

    def _kl(self, output: dict[str, Any]) -> Tensor:
        """Σ (log π - log π_ref) of each of this process's responses, in nats. What TRL has computed is not computed
        again.
        """
        mask = _learned(output)
        if "old_logps" in output:
            policy_B = output["old_logps"]
        elif "old_per_token_logps" in output:
            policy_B = (output["old_per_token_logps"] * mask).sum(1)
        else:
            policy_B = self._log_probs(output, reference=False)
        if "ref_per_token_logps" in output:
            return policy_B - (output["ref_per_token_logps"] * mask).sum(1)
        return policy_B - self._log_probs(output, reference=True)

    @torch.no_grad()
    def _log_probs(self, output: dict[str, Any], *, reference: bool) -> Tensor:
        """Log-probability of each response, at the sampling temperature."""
        trainer: Any = self
        of_adapters = reference and hasattr(self.run.policy.model, "peft_config")
        model = self.run.policy.base.model if reference and not of_adapters else trainer.model
        base: AbstractContextManager[None] = nullcontext()
        if of_adapters:
            base = use_adapter(trainer.accelerator.unwrap_model(trainer.model), None)
        with base, disable_gradient_checkpointing(trainer.model, trainer.args.gradient_checkpointing_kwargs):
            log_probs_BT = trainer._get_per_token_logps_and_entropies(
                model,
                torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1),
                torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1),
                output["completion_ids"].size(1),
                trainer.args.per_device_train_batch_size,
            )[0]
        return (log_probs_BT * _learned(output)).sum(1)


def _learned(output: dict[str, Any]) -> Tensor:
    """1 where a token was written by the policy, 0 where it was not and behind the end of a response."""
    mask: Tensor = output["completion_mask"]
    return mask if "tool_mask" not in output else mask * output["tool_mask"]


class RlooOnTrl(_OursOnTrl, RLOOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's RLOO."""


class OnlineDpoOnTrl(_OursOnTrl, RLOOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Online DPO, whose gradient is a policy gradient (`online_dpo.py`), by TRL's RLOO."""

    def _kl(self, output: dict[str, Any]) -> Tensor:
        self._log_ratios_B = super()._kl(output)
        return self._log_ratios_B

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        trainer: Any = self
        log_ratios_P2 = trainer.accelerator.gather(self._log_ratios_B).view(-1, 2)
        rewards = list(trainer._logs["rewards"][trainer.reward_func_names[0]])  # of all processes, NaN where missing
        rewards_P2 = torch.tensor(rewards, device=log_ratios_P2.device).view(-1, 2)
        advantages_P2, losses_P = pair_advantages(rewards_P2, log_ratios_P2, self.run.settings.kl_coefficient)
        self.run.loss = float(losses_P.mean())
        self.run.flat_groups = int((~(rewards_P2[:, 0] - rewards_P2[:, 1]).abs().gt(0.0)).sum())
        start = self.run.processes.index * len(inputs)
        return output | {"advantages": advantages_P2.flatten()[start : start + len(inputs)]}


class GrpoOnTrl(_OursOnTrl, GRPOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's GRPO, with any of its losses."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """TRL's loss. Its bonus is a mean over parts of mean entropies: here each part counts by its tokens."""
        trainer: Any = self
        if self.run.settings.entropy_coefficient:
            parts = trainer.accelerator.num_processes * trainer.args.steps_per_generation  # of a step
            share = _learned(inputs).sum() * parts / inputs["num_items_in_batch"].clamp(min=1.0)
            trainer.entropy_coef = self.run.settings.entropy_coefficient * float(share)
        return super()._compute_loss(model, inputs)


def train_on_trl(
    policy: Policy,
    rewards: RewardSource | None,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    engine: EngineSettings,
    tuning: TuningSettings,
    context: TrainingContext,
    *,
    on_step: Callable[[int, UpdateFacts], None],
    sampler: TurnSampler | None = None,
) -> int:
    """Trains the policy by RL, continuing from the state on disk. Every process calls it.

    Args:
        rewards: called only by the main process, for the whole step; other processes may pass None.
        prompts: for training, each once.
        sampler: plays the episodes of a policy that acts in an environment, for GRPO; None for responses of one turn.

    Returns: the number of finished steps.
    Raises: UsageError when there are fewer prompts than a step takes, or the processes cannot divide it; PreceptorError
        when training diverges or as the source of rewards does.
    """
    if len(prompts) < settings.prompts_per_step:
        raise UsageError(
            f"{len(prompts)} training prompts, rl.prompts_per_step asks for {settings.prompts_per_step}; "
            "give more prompts or lower it"
        )
    seed, processes, unwrapped = context.seed, context.processes, Unwrapped(policy)
    by_id = {prompt.id: prompt for prompt in prompts}
    if sampler is not None:
        check_whole(processes)
    episodes = sampler and EpisodesOnTrl(policy, sampler, by_id, settings, seed)
    step_rewards = StepRewards(policy, rewards, by_id, settings.group_size, processes, unwrapped.as_policy, episodes)
    run = _Run(policy, by_id, list(prompts), settings, seed, processes)
    steps = StepsOnTrl(
        policy,
        unwrapped,
        settings.steps,
        settings.updates_per_step,
        context,
        facts_of=lambda logs: _facts(run, step_rewards, logs),
        on_step=on_step,
        lower=_lower(settings.learning_rate),
    )
    arguments = _arguments(run, engine, tuning, steps)
    trainer = _trainer(run, arguments, step_rewards, steps)
    if episodes is not None:
        trainer.rollout_func = episodes
    with memory_for("a step of training", FOR_LESS_MEMORY):
        return steps.train(trainer)


def _lower(learning_rate: float) -> str:
    return f"lower the learning rate (now {learning_rate:g}) or keep closer to the reference"


def _arguments(run: _Run, engine: EngineSettings, tuning: TuningSettings, steps: StepsOnTrl[UpdateFacts]) -> Any:
    settings, processes = run.settings, run.processes
    responses = settings.prompts_per_step * settings.group_size
    parts = processes.count * settings.minibatches * settings.gradient_accumulation_steps
    if responses % parts:
        raise UsageError(
            f"a step has {responses} responses (rl.prompts_per_step × rl.group_size), which TRL cannot divide into "
            f"{parts} equal parts ({processes.count} processes × rl.minibatches × rl.gradient_accumulation_steps)"
        )
    seed = derive_seed(run.seed, "rl")
    common = common_arguments(run.policy.base.model.dtype, tuning, settings, steps.work, seed)
    shared = {
        "max_steps": settings.steps * settings.updates_per_step,
        "per_device_train_batch_size": responses // parts,
        "steps_per_generation": settings.minibatches * settings.gradient_accumulation_steps,
        "num_iterations": settings.epochs_per_batch,
        "num_generations": settings.group_size,
        "max_completion_length": run.most,
        "temperature": settings.temperature,
        "epsilon": settings.clip_range,
        "beta": 0.0 if tuning.method == "full" else settings.kl_coefficient,  # `_with_reference` sets it
        "disable_dropout": True,
        "save_strategy": "no",  # the callback says when
        "save_total_limit": 2,  # keeps one to fall back on while the next is written
        "use_vllm": engine.vllm != "off",
        "vllm_mode": "server" if engine.vllm == "server" else "colocate",
        "vllm_server_base_url": engine.vllm_server,
    }
    if settings.algorithm != "grpo":
        return made(RLOOConfig, common | shared | {"epsilon_high": settings.clip_range_high}, engine.trl)
    return made(GRPOConfig, common | shared | objective_on_trl(engine, settings), engine.trl)


def _trainer(run: _Run, arguments: Any, rewards: StepRewards, steps: StepsOnTrl[UpdateFacts]) -> Any:
    """TRL's trainer for the policy's own model, with the policy's base as its reference."""
    policy, settings = run.policy, run.settings
    model = model_to_train(policy, run.processes)
    kind: Any = {"rloo": RlooOnTrl, "online_dpo": OnlineDpoOnTrl, "grpo": GrpoOnTrl}[settings.algorithm]
    with refusals(), quietly():
        trainer = kind(
            model=model,
            reward_funcs=[rewards],
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": prompt.id} for prompt in run.order]),
            processing_class=policy.base.tokenizer,
            callbacks=[steps],
        )
    trainer.run = run
    if hasattr(model, "peft_config"):
        if "ref" in model.peft_config:  # GRPO without a KL makes none
            model.delete_adapter("ref")  # a copy of the new adapters: TRL's reference is now the base itself
    else:
        add_fused_lm_head(policy.base.model, temperature=settings.temperature)
        trainer.beta = settings.kl_coefficient
        whole = divides(run.processes)  # the reference is measured with, so it is not divided
        prepare = trainer.accelerator.prepare_model
        trainer.ref_model = policy.base.model if whole else prepare(policy.base.model, evaluation_mode=True)
    trainer.eos_token_ids = policy.base.eos_ids
    if not trainer.use_vllm:
        trainer.generation_config.eos_token_id = trainer.eos_token_ids
        trainer.generation_kwargs["eos_token_id"] = trainer.eos_token_ids
    return trainer


def _facts(run: _Run, rewards: StepRewards, logs: Sequence[Logs]) -> tuple[UpdateFacts, dict[str, float]]:
    """The facts of a step and its times, in the names of the native engine. Empty where the main process is another."""
    ended, settings, collected = time.perf_counter(), run.settings, rewards.collected
    groups = [] if collected is None else collected.groups_P
    rollouts = [response for group in groups for response in group.responses]
    there = [] if collected is None else [reward for row in collected.rewards_PG for reward in known_of(row)]
    known = torch.tensor(there, dtype=torch.float64)
    facts = UpdateFacts(
        reward=float(known.mean()) if there else None,
        reward_std=float(known.std(correction=0)) if there else None,
        kl=run.kl,
        kl_coefficient=settings.kl_coefficient,
        tokens=sum(response.tokens for response in rollouts) / max(1, len(rollouts)),
        finished=sum(response.finished for response in rollouts) / max(1, len(rollouts)),
        abstained=len(rollouts) - len(there),
        flat_groups=run.flat_groups,
        loss=sum(log["loss"] for log in logs) / len(logs) if run.loss is None else run.loss,
        grad_norm=max(log["grad_norm"] for log in logs),
        learning_rate=logs[-1]["learning_rate"],
        objective={"entropy": logs[0]["entropy"]} if settings.entropy_coefficient else {},
    )
    seconds = {"sampling": run.sampling, "judging": rewards.seconds}
    seconds["update"] = ended - run.began - sum(seconds.values())
    return facts if collected is None else collected.with_facts(facts), seconds
