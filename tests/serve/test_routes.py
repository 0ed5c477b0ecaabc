"""What clients send and get."""

from pathlib import Path

import pytest

import preceptor as pc
from serve_small import SKY, client


def test_a_comparison_is_the_judges_own(tmp_path: Path) -> None:
    expected = pc.Judge("scripted:random").compare(**SKY)
    assert isinstance(expected, pc.Preference)
    with client(tmp_path) as asked:
        answer = asked.post("/v1/compare", json=SKY).json()
    assert answer["judge"] == "helpful"
    assert answer["p_a"] == expected.p_a
    assert answer["preferred"] == expected.likeliest
    assert answer["disagreement"] == pytest.approx(expected.disagreement)
    assert (answer["failure"], answer["usage"]["prompt_tokens"]) == (None, 2)


def test_a_score_and_its_reward(tmp_path: Path) -> None:
    expected = pc.Judge("scripted:random").score(SKY["prompt"], SKY["a"])
    assert isinstance(expected, pc.Score)
    with client(tmp_path) as asked:
        answer = asked.post("/v1/score", json={"prompt": SKY["prompt"], "response": SKY["a"]}).json()
    assert (answer["score"], answer["scale"]) == (expected.expectation, [1.0, 10.0])
    assert answer["reward"] == expected.rescaled
    assert set(answer["criteria"]) == set(expected.criteria)


def test_rewards_in_groups_are_those_of_trls_reward_function(tmp_path: Path) -> None:
    prompts, responses = ["Say hi.", "Say bye."], ["Hi!", "Bye!", "No."]
    pairs = [(prompt, response) for prompt in prompts for response in responses]
    expected = pc.Judge("scripted:random").reward([p for p, _ in pairs], [r for _, r in pairs])
    groups = [{"prompt": prompt, "responses": responses} for prompt in prompts]
    with client(tmp_path) as asked:
        answer = asked.post("/v1/reward", json={"groups": groups}).json()
    assert [reward for group in answer["groups"] for reward in group["rewards"]] == expected
    assert answer["groups"][0]["failures"] == [None, None, None]


def test_conversations_and_trajectories_are_taken(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}]
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    trajectory = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
        {"role": "assistant", "content": "4."},
    ]
    with client(tmp_path) as asked:
        answer = asked.post("/v1/score", json={"prompt": prompt, "response": trajectory}).json()
    assert 1.0 <= answer["score"] <= 10.0


def test_judges_are_asked_by_name(tmp_path: Path) -> None:
    with client(tmp_path, "kind=scripted:random:harmless:detailed+single", "other=scripted:first") as asked:
        listed = asked.get("/v1/judges").json()["judges"]
        assert [(judge["name"], judge["model"], judge["way"]) for judge in listed] == [
            ("kind", "scripted:random", "detailed+single"),
            ("other", "scripted:first", "detailed"),
        ]
        assert asked.post("/v1/compare", json={**SKY, "judge": "other"}).json()["judge"] == "other"
        unknown = asked.post("/v1/compare", json={**SKY, "judge": "unknown"})
        assert unknown.status_code == 404
        assert "kind, other" in unknown.json()["error"]
        unnamed = asked.post("/v1/compare", json=SKY)
        assert (unnamed.status_code, unnamed.json()["field"]) == (422, "judge")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/compare", {"prompt": "x", "a": "y"}, "b"),
        ("/v1/compare", {**SKY, "model": "z"}, "model"),
        ("/v1/compare", {**SKY, "prompt": ""}, "prompt"),
        ("/v1/compare", {**SKY, "prompt": [{"role": "assistant", "content": "x"}]}, "prompt"),
        ("/v1/compare", {**SKY, "a": 3}, "a"),
        ("/v1/score", {"prompt": "x", "response": [{"role": "user", "content": "y"}]}, "response"),
        ("/v1/reward", {"groups": []}, "groups"),
        ("/v1/reward", {"groups": [{"prompt": "x", "responses": []}]}, "groups.0.responses"),
        ("/v1/reward", {"groups": [{"prompt": "x", "responses": ["y", 3]}]}, "groups.0.responses.1"),
        ("/v1/openrlhf", {"query": ["x"], "prompts": ["x", "y"]}, "prompts"),
        ("/v1/openrlhf", {"query": ["y"], "prompts": ["x"]}, "query.0"),
    ],
)
def test_a_malformed_body_names_the_field(tmp_path: Path, path: str, body: object, field: str) -> None:
    with client(tmp_path) as asked:
        refused = asked.post(path, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert field in refused.json()["error"]
    assert "Traceback" not in refused.text


def test_what_is_no_json_or_too_large_is_refused(tmp_path: Path) -> None:
    json_type = {"content-type": "application/json"}
    with client(tmp_path) as asked:
        assert asked.post("/v1/compare", content=b"{", headers=json_type).status_code == 422
        assert asked.post("/v1/compare", content=b"[" * 100_000, headers=json_type).status_code == 422
        assert asked.post("/v1/compare", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        large = (b" " * (1 << 20) for _ in range(17))
        assert asked.post("/v1/compare", content=large, headers=json_type).status_code == 413
        assert asked.post("/v1/compare", content=b" " * (17 << 20), headers=json_type).status_code == 413
        assert asked.get("/v1/compare").status_code == 405
        assert asked.get("/nothing").status_code == 404


def test_the_description_names_every_path_and_loads_nothing(tmp_path: Path) -> None:
    with client(tmp_path) as asked:
        described = asked.get("/openapi.json").json()
        page = asked.get("/")
    assert {"/v1/compare", "/v1/score", "/v1/reward", "/v1/openrlhf/{judge}", "/health"} <= set(described["paths"])
    schema = described["components"]["schemas"]["CompareBody"]
    assert schema["required"] == ["prompt", "a", "b"]
    assert "/v1/reward" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text


def test_numbers_for_prometheus(tmp_path: Path) -> None:
    with client(tmp_path, budget=5.0) as asked:
        for _ in range(2):
            asked.post("/v1/compare", json=SKY)
        numbers = asked.get("/metrics").text.splitlines()
    assert 'preceptor_requests_total{path="/v1/compare",status="200"} 2.0' in numbers
    assert 'preceptor_outcomes_total{judge="helpful",outcome="answered"} 2.0' in numbers
    assert 'preceptor_calls_total{judge="helpful"} 2.0' in numbers
    assert 'preceptor_calls_saved_total{judge="helpful"} 2.0' in numbers
    assert "preceptor_budget_dollars 5.0" in numbers
