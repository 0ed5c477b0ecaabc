"""Two steps of TRL's GRPOTrainer whose reward is a judge's score. Takes a minute on a laptop.

    python examples/trl_reward.py [MODEL_FOLDER [SERVICE_URL]]

The policy is the embedded model, or the model in the given folder. `judge.reward` has the signature that TRL
expects. If the judge fails, the reward is None, and TRL leaves that response out of the loss. With the address of a
service (`preceptor serve --judge embedded:warm_tone`), the judge answers in the service's process.
"""

import sys
from tempfile import TemporaryDirectory

from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

import preceptor as pc
from preceptor.integrations.remote import RemoteReward

PROMPTS = ["Say something kind to a tired nurse.", "How was your day?"]


def main(policy: str, service: str | None = None) -> None:
    """Trains for two steps and prints the rewards."""
    judge = pc.Judge("embedded", constitution="warm_tone")
    reward = RemoteReward(service) if service else judge.reward
    with TemporaryDirectory() as folder:
        settings = GRPOConfig(
            output_dir=folder,
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=16,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
        )
        rows = Dataset.from_dict({"prompt": [[{"role": "user", "content": text}] for text in PROMPTS]})
        trainer = GRPOTrainer(model=policy, reward_funcs=[reward], args=settings, train_dataset=rows)
        trainer.train()
    for entry in trainer.state.log_history:
        if "reward" in entry:
            print(f"step {entry['step']}: mean reward {entry['reward']:.2f}")
    if not service:
        print(f"{judge.calls} calls of the judge")


if __name__ == "__main__":
    main(*(sys.argv[1:] or [pc.models(fetch=True).embedded.path]))
