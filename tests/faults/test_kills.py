"""kill -9 at seeded moments of every stage: the same command goes on, to the same end."""

import numpy as np
import psutil
import pytest

from tests.faults import findings

KILLS = {"store": 10, "training": 12, "export": 6, "notebooks": 4}


def moment(rng: np.random.Generator, stage: str, did: dict) -> dict:
    """When to kill: every other time between two changes of files, else anywhere. A runner between
    changes only: what it calls meanwhile depends on its kernel's speed."""
    by = "file" if stage in ("notebooks", "export") or rng.random() < 0.5 else "call"
    return {"by": by, "at": int(rng.integers(did[by]))}


@pytest.mark.slow
@pytest.mark.parametrize("stage", KILLS)
def test_a_killed_stage_goes_on_to_the_same_end(stage, driver, unbroken, tmp_path):
    rng = np.random.default_rng(list(KILLS).index(stage))
    expected, did = unbroken(stage)
    kills = 0
    while kills < KILLS[stage]:
        folder = tmp_path / f"from_kill{kills}"
        done, finished, answer = 0, {}, {"killed": True}
        while answer["killed"]:
            at = moment(rng, stage, did) if kills < KILLS[stage] else {}
            answer = driver.attempt(stage, folder, **at)
            assert answer["error"] is None, (at, answer)
            kills += answer["killed"]
            findings.assert_whole(folder)
            now, weights = findings.progress(stage, folder), findings.finished_weights(folder)
            assert now >= done, at
            assert finished.items() <= weights.items(), at  # nothing finished is trained again
            done, finished = now, weights
            if stage == "notebooks":  # a kernel ends by itself when its runner is gone
                psutil.wait_procs(findings.processes_of(folder), timeout=120)
                assert findings.processes_of(folder) == []
        assert findings.outcome(folder) == findings.outcome(expected)
        assert findings.left_behind(folder) == []
