"""Experiments for the tests of files."""

from playground.toy import ToyConfig, ToyLab
from playground.toy.network import NetworkConfig
from playground.toy.user_points import read_points

TINY = ToyConfig(n_points=20, network=NetworkConfig(width=4, depth=1, fourier_features=2))
USER_POINTS = b"0,0.5,3\n0.1,0.6,3\n-0.5,-0.5,7\n-0.4,-0.5,7\n"


def trained(config: ToyConfig, steps: int = 7) -> ToyLab:
    lab = ToyLab(config)
    list(lab.train(steps=steps))
    return lab


GOOD = trained(TINY).to_bytes()
GOOD_USER_POINTS = trained(TINY.changed(points=read_points(USER_POINTS, "points.csv"), conditional=True)).to_bytes()
