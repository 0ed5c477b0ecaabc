"""Compare two responses and score one, with the embedded model as judge. Takes half a minute on a laptop.

python examples/judge_a_pair.py
"""

import preceptor as pc

PROMPT = "Why is the sky blue?"
FULL = "Air scatters short waves of sunlight, blue ones, more than long ones: that is Rayleigh scattering."
BRIEF = "Because."


def main() -> None:
    """Asks the judge and prints its answers."""
    with pc.Judge("embedded", constitution="helpful", variant="detailed") as judge:
        preference = judge.compare(PROMPT, a=FULL, b=BRIEF)
        if isinstance(preference, pc.JudgeFailure):
            print(f"no preference: {preference.reason}")
        else:
            print(f"the first response is better with probability {preference.p_a:.2f}")
            for shown in preference.presentations:  # one for each order
                print(f"  shown in order {shown.order}: {shown.p_a:.2f}")
        score = judge.score(PROMPT, FULL)
        if isinstance(score, pc.Score):
            print(f"its expected score is {score.expectation:.1f}, on a scale from 1 to 10")
        print(f"{judge.calls} calls, {judge.usage.prompt_tokens} prompt tokens")


if __name__ == "__main__":
    main()
