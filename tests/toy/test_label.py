"""The class to draw: refused where there is none, and drawn from the next sample on."""

from typing import Any

import pytest
import torch

from playground.toy import LabError, ToyConfig, ToyLab


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 0}, "learn the classes"),
        ({"label": 0, "dataset": "heart"}, "learn the classes"),
        ({"label": 2, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": -1, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": 10**18, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": True, "dataset": "two_moons", "conditional": True}, "label must be a whole number or nothing"),
        ({"label": 1.0, "dataset": "two_moons", "conditional": True}, "label must be a whole number or nothing"),
    ],
)
def test_a_class_that_cannot_be_drawn_is_refused(changes: dict[str, Any], words: str) -> None:
    lab = ToyLab(ToyConfig(n_points=50))
    with pytest.raises(LabError, match=words):
        ToyLab(ToyConfig(n_points=50).changed(**changes))
    with pytest.raises(LabError, match=words):
        lab.update(**changes)
    assert lab.config == ToyConfig(n_points=50)


def test_the_class_to_draw_is_drawn_from_the_next_sample_on() -> None:
    lab = ToyLab(ToyConfig(dataset="two_moons", n_points=50, conditional=True))
    for _ in lab.train(3):
        pass
    for label in (1, 0):
        assert lab.update(label=label) == "live"
        labels = lab.sample(20).labels
        assert labels is not None
        assert labels.tolist() == [label] * 20
        assert torch.equal(lab.sample(20).x, lab.sample(20, labels=label).x)
        exact = lab.sample(20, exact=True).x[-1]
        assert lab.cloud.labels is not None
        assert (lab.cloud.labels[torch.cdist(exact, lab.cloud.points).argmin(1)] == label).all()
    assert lab.step == 3
    assert set(lab.sample(20, labels=[0, 1] * 10).labels.tolist()) == {0, 1}, "asked for one by one, each is its own"  # type: ignore[union-attr]
    lab.update(label=None)
    labels = lab.sample(200).labels
    assert labels is not None
    assert set(labels.tolist()) == {0, 1}
    lab.update(label=1)
    with pytest.raises(LabError, match="learn the classes"):
        lab.update(conditional=False)
    assert lab.config.conditional
